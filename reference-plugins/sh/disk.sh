#!/bin/sh
# Serves a file through nbdkit-sh-plugin(3): file=PATH.  Every call is a
# process of its own, so the path is kept in a link in $tmpdir.
set -e
disk="$tmpdir/disk"

case "$1" in
  config)
    if [ "$2" != file ]; then echo "unknown parameter $2" >&2; exit 1; fi
    ln -sf "$(realpath "$3")" "$disk" ;;
  config_complete)
    if [ ! -e "$disk" ]; then echo "file=PATH is needed" >&2; exit 1; fi ;;
  thread_model) echo parallel ;;
  get_size) stat -L -c %s "$disk" ;;
  can_write | can_flush | can_zero | can_trim | can_multi_conn) ;;
  pread)
    dd if="$disk" skip="$4" count="$3" bs=64K iflag=count_bytes,skip_bytes status=none ;;
  pwrite)
    dd of="$disk" seek="$4" bs=64K conv=notrunc oflag=seek_bytes iflag=fullblock status=none ;;
  flush) sync -d "$disk" ;;
  zero) fallocate -z -n -o "$4" -l "$3" "$disk" ;;
  trim) fallocate -p -n -o "$4" -l "$3" "$disk" ;;
  *) exit 2 ;;
esac
