//! faulty-rust-unnamed: Server implements `flush` and `thread_model`, but plugin! does not name
//! them, so that they are never called.
//!
//!   flush         FUA is to be emulated by the flush that nbdkit does not know of
//!   thread-model  what relies on one request at a time is served by many threads

use nbdkit::*;
use shared::{disk, fault, place, Disk};
use std::cell::Cell;
use std::sync::Arc;

const FAULTS: &[&str] = &["flush", "thread-model"];

struct Connection {
    disk: Arc<Disk>,
    /// Where the request under way is; there is only one, says thread_model.
    position: Cell<u64>,
}

impl Connection {
    /// Byte by byte, as a file is read: from the position on.
    fn seek(&self, offset: u64) {
        self.position.set(offset);
    }

    fn next_piece(&self, count: usize) -> std::ops::Range<usize> {
        let offset = self.position.get();
        self.position.set(offset + count as u64);
        place(offset, count)
    }
}

impl Server for Connection {
    fn name() -> &'static str {
        "faulty-rust-unnamed"
    }

    fn version() -> Option<&'static str> {
        Some("1")
    }

    fn config_help() -> Option<&'static str> {
        Some(shared::CONFIG_HELP)
    }

    fn config(key: &str, value: &str) -> Result<()> {
        shared::config(FAULTS, key, value)
    }

    fn thread_model() -> Result<ThreadModel> {
        Ok(ThreadModel::SerializeAllRequests)
    }

    fn get_ready() -> Result<()> {
        shared::make_disk()
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        Ok(Box::new(Connection { disk: disk()?, position: Cell::new(0) }))
    }

    fn get_size(&self) -> Result<i64> {
        Ok(shared::size())
    }

    fn can_fua(&self) -> Result<FuaFlags> {
        Ok(if fault("flush") { FuaFlags::Emulate } else { FuaFlags::None })
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        if !fault("thread-model") {
            self.disk.read(buf, offset);
            return Ok(());
        }
        self.seek(offset);
        for piece in buf.chunks_mut(512) {
            let bytes = self.disk.lock();
            // Past the end where another request has moved on; nothing is there to be read.
            if let Some(found) = bytes.get(self.next_piece(piece.len())) {
                piece.copy_from_slice(found);
            }
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64, _flags: Flags) -> Result<()> {
        self.disk.write(buf, offset);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn unload() {
        shared::forget_disk();
    }
}

plugin!(Connection { config, get_ready, can_fua, write_at, unload });
