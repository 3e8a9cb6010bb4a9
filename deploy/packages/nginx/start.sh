set -eu
PATH=$PATH:/usr/sbin
mkdir -p site tmp
[ -e site/index.html ] || printf '%s\n' "$GREETING" > site/index.html
user=
[ "$(id -u)" != 0 ] || user='user root;'  # its sandbox is root's
cat > nginx.conf <<END
$user
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /dev/stdout;
  server_tokens off;
  client_body_temp_path tmp/body;
  proxy_temp_path tmp/proxy;
  fastcgi_temp_path tmp/fastcgi;
  uwsgi_temp_path tmp/uwsgi;
  scgi_temp_path tmp/scgi;
  server {
    listen $PORT_HTTP;
    root site;
  }
}
END
exec nginx -e stderr -p "$PWD" -c "$PWD/nginx.conf"
