# At its own address, since it listens at no other.
eval "own=\$HOST_$MYID"
exec bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf ruok >&3 && [ "$(cat <&3)" = imok ]' health "$own" "$PORT_CLIENT"
