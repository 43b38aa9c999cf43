#!/bin/sh
# What goes wrong in plugins in shell, one fault each: fault=NAME.
#
#   input      pwrite does not read its input where it has nothing to do
#   tail       pwrite reads no more than a block of its input
#   short      pread prints less than it was asked for, at the end of the disk
#   long       pread prints a newline after the data
set -e
disk="$tmpdir/disk"
fault=none
if [ -e "$tmpdir/fault" ]; then fault=$(cat "$tmpdir/fault"); fi

case "$1" in
  config)
    if [ "$2" != fault ]; then echo "unknown parameter $2" >&2; exit 1; fi
    echo "$3" > "$tmpdir/fault" ;;
  get_ready) truncate -s 131072 "$disk" ;;
  thread_model) echo serialize_all_requests ;;
  get_size) stat -c %s "$disk" ;;
  can_write | can_flush) ;;
  pread)
    case "$fault" in
      short) if [ "$(($3 + $4))" = 131072 ]; then set -- "$1" "$2" "$(($3 - 1))" "$4"; fi ;;
    esac
    dd if="$disk" skip="$4" count="$3" bs=64K iflag=count_bytes,skip_bytes status=none
    if [ "$fault" = long ]; then echo; fi ;;
  pwrite)
    case "$fault" in
      # "It is read-only from here on."
      input) if [ "$4" -ge 65536 ]; then exit 0; fi ;;
      tail)
        head -c 4096 | dd of="$disk" seek="$4" bs=64K conv=notrunc oflag=seek_bytes status=none
        exit 0 ;;
    esac
    dd of="$disk" seek="$4" bs=64K conv=notrunc oflag=seek_bytes iflag=fullblock status=none ;;
  flush) ;;
  *) exit 2 ;;
esac
