#!/bin/sh
# The first process of the emulated machine (tools/kvmlab.mjs). It loads modules and mounts the host's tree, with what is written kept in
# memory, and goes on there as "host.sh". /lab/settings is made for each run.
b=/bin/busybox
. /lab/settings
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
load() {
  while read -r name; do
    [ -e "/sys/module/$name" ] || $b insmod "/modules/$name.ko" || echo "kvmlab: cannot load $name" >/dev/kmsg
  done <"/modules/$1"
}
for list in early $modules; do load "$list"; done

# Guests' files have the host's numbers of owners, and nothing changes on the host: its tree is read-only.
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /lower
$b mount -t tmpfs -o size=75% upper /upper
$b mkdir /upper/changed /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/changed,workdir=/upper/work root /root

# The repository may lie where an empty folder goes.
for folder in /tmp /var/tmp /run; do $b mkdir -p "/root$folder" && $b mount -t tmpfs "tmpfs" "/root$folder"; done
$b chmod 1777 /root/tmp /root/var/tmp
if [ -n "$other_root" ]; then
  # A tree that is not the host's: the repository and node are added to it.
  $b mkdir -p /host
  $b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host
  lower=/host
else
  lower=/lower
fi
case $repository/ in /tmp/* | /var/tmp/* | /run/*) shown=1 ;; *) shown=$other_root ;; esac
if [ -n "$shown" ]; then
  $b mkdir -p "/root$repository" /upper/r /upper/rw
  $b mount -t overlay -o "lowerdir=$lower$repository,upperdir=/upper/r,workdir=/upper/rw" repository "/root$repository"
fi
if [ -n "$other_root" ]; then
  $b mkdir -p "/root${node%/*}" && : >>"/root$node" && $b mount --bind "/host$node" "/root$node"
fi
$b mkdir -p /root/run/kvmlab
$b cp /lab/* $b /root/run/kvmlab/
for folder in proc sys dev; do $b mkdir -p /root/$folder && $b mount --move /$folder /root/$folder; done
exec $b switch_root /root /run/kvmlab/busybox sh /run/kvmlab/host.sh
