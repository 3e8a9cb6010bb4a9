set -eu
eval "own=\$HOST_$MYID"  # MYID is 1, 2 or 3
for host in "$HOST_1" "$HOST_2" "$HOST_3"; do
  getent ahosts "$host" >/dev/null || {
    echo "$host, one of host_1 to host_3, is a name that leads nowhere from $own: give it in DNS or /etc/hosts" >&2
    exit 1
  }
done
echo "$MYID" > data/myid
cat > zoo.cfg <<END
tickTime=2000
initLimit=10
syncLimit=5
dataDir=./data
clientPort=$PORT_CLIENT
clientPortAddress=$own
admin.enableServer=false
4lw.commands.whitelist=srvr,ruok
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
server.1=$HOST_1:$PORT_PEER:$PORT_ELECTION
server.2=$HOST_2:$PORT_PEER:$PORT_ELECTION
server.3=$HOST_3:$PORT_PEER:$PORT_ELECTION
END
cat > log4j.properties <<END
log4j.rootLogger=WARN, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %-5p %c{1} - %m%n
END
exec java "-Xmx${HEAP_MIB}m" -cp ".:/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-log4j12.jar:/usr/share/java/log4j-1.2.jar" \
  -Dzookeeper.jmx.log4j.disable=true org.apache.zookeeper.server.quorum.QuorumPeerMain ./zoo.cfg
