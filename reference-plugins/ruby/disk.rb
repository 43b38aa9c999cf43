# A RAM disk for nbdkit-ruby-plugin(3): size=BYTES.
$size = 1 << 20

def config(key, value)
  raise "unknown parameter #{key}" if key != "size"
  $size = Integer(value)
end

def get_ready
  $disk = "\0".b * $size
end

def open(readonly)
  { readonly: readonly }
end

def get_size(h)
  $size
end

def pread(h, count, offset)
  $disk.byteslice(offset, count)
end

def pwrite(h, buf, offset)
  $disk[offset, buf.bytesize] = buf.b
end

def zero(h, count, offset, may_trim)
  $disk[offset, count] = "\0".b * count
end

def trim(h, count, offset)
  zero(h, count, offset, true)
end

def flush(h)
end
