# What a host has when its system manager is up, then the command (tools/kvmlab.mjs): this is process 1, run by busybox.
lab=/run/kvmlab
b=$lab/busybox
. $lab/settings
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
$b mkdir -p /dev/pts /dev/shm /run/lock
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$b mount -t tmpfs -o mode=1777 tmpfs /dev/shm
for link in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do $b ln -sf "${link#*:}" "/dev/${link%%:*}"; done
$b mount --make-rshared /
$b ip link set lo up
$b hostname kvmlab
echo 1000000 >/proc/sys/fs/nr_open

# Control groups as systemd lays them out: what a person starts is in a scope of its own.
case $cgroup in
v2)
  $b mount -t cgroup2 cgroup2 /sys/fs/cgroup
  for controller in cpuset cpu io memory pids; do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; done
  $b mkdir -p /sys/fs/cgroup/init.scope /sys/fs/cgroup/user.slice/kvmlab.scope
  echo 1 >/sys/fs/cgroup/init.scope/cgroup.procs
  scopes=/sys/fs/cgroup/user.slice/kvmlab.scope
  ;;
v1)
  $b mount -t tmpfs tmpfs /sys/fs/cgroup
  while read -r controller _ _ enabled; do
    [ "$enabled" = 1 ] || continue
    $b mkdir "/sys/fs/cgroup/$controller"
    $b mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
  done </proc/cgroups
  scopes=
  ;;
none) scopes= ;;
esac

for pair in $sysctls; do
  $b sysctl -q -w "$pair" || echo "kvmlab: cannot set $pair" >/dev/kmsg
done
case $kvm in
absent) $b rm -f /dev/kvm ;;
fifo) $b rm -f /dev/kvm && $b mkfifo /dev/kvm ;;
esac

# Programs may open their standard output again, which a port of virtio-serial does not allow: they get pipes.
for port in /sys/class/virtio-ports/*; do
  name=$($b cat "$port/name")
  eval "port_$name=/dev/${port##*/}"
done
$b mkfifo $lab/out $lab/err
$b cat $lab/out >"$port_out" &
out=$!
$b cat $lab/err >"$port_err" &
err=$!
exec 9>"$port_status"
echo ready >&9
(
  exec 9>&-
  if [ -n "$scopes" ]; then /bin/sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$scopes" $b setsid /bin/sh $lab/command
  else $b setsid /bin/sh $lab/command; fi
) </dev/null >$lab/out 2>$lab/err
status=$?
# A process that the command left behind may hold its output open.
( $b sleep 5; $b kill $out $err ) 2>/dev/null &
wait $out $err 2>/dev/null
echo "status $status" >&9
exec 9>&-
$b poweroff -f
