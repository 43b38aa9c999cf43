-- Serves a file through nbdkit-lua-plugin(3): file=PATH.
local path
local size

function config (key, value)
   if key == "file" then
      path = value
      if path:sub (1, 1) ~= "/" then
         -- nbdkit may go to another directory before it serves.
         local pwd = assert (io.popen ("pwd"))
         path = pwd:read ("l") .. "/" .. path
         pwd:close ()
      end
   else
      error ("unknown parameter " .. key)
   end
end

function config_complete ()
   if not path then error ("file=PATH is needed") end
   local file = assert (io.open (path, "rb"))
   size = assert (file:seek ("end"))
   file:close ()
end

function open (readonly)
   local file = assert (io.open (path, readonly and "rb" or "r+b"))
   -- No buffer of our own: other connections use the same file.
   file:setvbuf ("no")
   return { file = file }
end

function close (h)
   h.file:close ()
end

function get_size (h)
   return size
end

function pread (h, count, offset)
   assert (h.file:seek ("set", offset))
   local buf = h.file:read (count)
   if not buf or #buf < count then error ("short read") end
   return buf
end

function pwrite (h, buf, offset)
   assert (h.file:seek ("set", offset))
   assert (h.file:write (buf))
end

function flush (h)
   assert (h.file:flush ())
end

function trim (h, count, offset)
   -- A hint that may be ignored.
end
