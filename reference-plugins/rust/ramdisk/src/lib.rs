//! rust-ramdisk: one disk in memory, shared by all connections, fully parallel.
//!
//!     nbdkit ./rust-ramdisk.so size=1G
//!
//! The disk consists of chunks, each behind a lock of its own and allocated when it is first
//! written. No operation holds two locks, so there is no order to get wrong. A request that spans
//! chunks is not atomic as a whole, which NBD does not ask for.

use nbdkit::*;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const CHUNK: u64 = 64 * 1024;

/// None: a hole.
type Chunk = Option<Box<[u8]>>;

struct Disk {
    size: u64,
    chunks: Vec<RwLock<Chunk>>,
}

/// The part of a request that lies in one chunk.
struct Piece {
    chunk: usize,
    begin: usize,
    length: usize,
}

impl Disk {
    fn new(size: u64) -> Result<Disk> {
        let out_of_memory =
            |_| Error::new(errno::ENOMEM, format!("cannot allocate {} bytes", size));
        let count = size / CHUNK + u64::from(size % CHUNK != 0);
        let mut chunks = Vec::new();
        chunks.try_reserve_exact(count as usize).map_err(out_of_memory)?;
        chunks.resize_with(count as usize, || RwLock::new(None));
        Ok(Disk { size, chunks })
    }

    fn pieces(offset: u64, count: u64) -> impl Iterator<Item = Piece> {
        let end = offset + count;
        let mut at = offset;
        std::iter::from_fn(move || {
            let length = end.min((at / CHUNK + 1) * CHUNK) - at;
            let piece = Piece {
                chunk: (at / CHUNK) as usize,
                begin: (at % CHUNK) as usize,
                length: length as usize,
            };
            at += length;
            (length > 0).then(|| piece)
        })
    }

    // Bytes are never half valid: a lock that a panic has poisoned is as good as any other. Where
    // a panic can leave things inconsistent, repair them here or report EIO; `unwrap` would make
    // each later request panic too.
    fn read(&self, chunk: usize) -> RwLockReadGuard<'_, Chunk> {
        self.chunks[chunk].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, chunk: usize) -> RwLockWriteGuard<'_, Chunk> {
        self.chunks[chunk].write().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_of(&self, chunk: usize) -> u64 {
        ((chunk as u64 + 1) * CHUNK).min(self.size)
    }

    /// Makes a piece zero, as a hole where that is allowed.
    fn clear(&self, piece: &Piece, may_punch: bool) -> Result<()> {
        let mut chunk = self.write(piece.chunk);
        let whole = piece.begin == 0
            && piece.chunk as u64 * CHUNK + piece.length as u64 == self.end_of(piece.chunk);
        if may_punch && whole {
            *chunk = None;
        } else if chunk.is_some() || !may_punch {
            allocated(&mut chunk)?[piece.begin..piece.begin + piece.length].fill(0);
        }
        Ok(())
    }
}

/// A chunk's bytes, which are there after this.
fn allocated(chunk: &mut Chunk) -> Result<&mut [u8]> {
    if chunk.is_none() {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(CHUNK as usize)
            .map_err(|_| Error::new(errno::ENOMEM, "cannot allocate a chunk"))?;
        bytes.resize(CHUNK as usize, 0);
        *chunk = Some(bytes.into_boxed_slice());
    }
    match chunk {
        Some(bytes) => Ok(bytes),
        None => Err(Error::new(errno::EIO, "no chunk")),
    }
}

struct Parameters {
    size: Option<i64>,
    disk: Option<Arc<Disk>>,
}

static PARAMETERS: Mutex<Parameters> = Mutex::new(Parameters { size: None, disk: None });

fn with_parameters<T>(body: impl FnOnce(&mut Parameters) -> T) -> T {
    body(&mut PARAMETERS.lock().unwrap_or_else(PoisonError::into_inner))
}

struct RamDisk {
    disk: Arc<Disk>,
}

// The thread model is parallel: all of it is used by several threads at once. The compiler checks.
const _: fn() = || {
    fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<RamDisk>();
};

impl Server for RamDisk {
    fn name() -> &'static str {
        "rust-ramdisk"
    }

    fn longname() -> Option<&'static str> {
        Some("nbdcheck reference RAM disk in Rust")
    }

    fn version() -> Option<&'static str> {
        Some(env!("CARGO_PKG_VERSION"))
    }

    fn description() -> Option<&'static str> {
        Some("A disk in memory, served in parallel")
    }

    fn config_help() -> Option<&'static str> {
        Some("size=<SIZE>  (required) Size of the disk.")
    }

    fn magic_config_key() -> Option<&'static str> {
        Some("size")
    }

    fn config(key: &str, value: &str) -> Result<()> {
        match key {
            "size" => {
                let size = parse_size(value)?;
                with_parameters(|p| p.size = Some(size));
                Ok(())
            }
            _ => Err(Error::new(errno::EINVAL, format!("unknown parameter '{}'", key))),
        }
    }

    fn config_complete() -> Result<()> {
        with_parameters(|p| p.size).map(|_| ()).ok_or_else(|| {
            Error::new(errno::EINVAL, "the size parameter is required: how large shall it be?")
        })
    }

    fn dump_plugin() {
        println!("rust_ramdisk_chunk={}", CHUNK);
    }

    fn get_ready() -> Result<()> {
        let size = with_parameters(|p| p.size).unwrap_or(0);
        let disk = Arc::new(Disk::new(size as u64)?);
        with_parameters(|p| p.disk = Some(disk));
        Ok(())
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        let disk = with_parameters(|p| p.disk.clone());
        let disk = disk.ok_or_else(|| Error::new(errno::EIO, "there is no disk yet"))?;
        Ok(Box::new(RamDisk { disk }))
    }

    fn get_size(&self) -> Result<i64> {
        Ok(self.disk.size as i64)
    }

    /// Nothing is kept for one connection: what one writes all others see at once.
    fn can_multi_conn(&self) -> Result<bool> {
        Ok(true)
    }

    /// Memory is as stable as this disk gets, so every write already is.
    fn can_fua(&self) -> Result<FuaFlags> {
        Ok(FuaFlags::Native)
    }

    fn can_cache(&self) -> Result<CacheFlags> {
        Ok(CacheFlags::Native)
    }

    fn can_fast_zero(&self) -> Result<bool> {
        Ok(true)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut rest = buf;
        for piece in Disk::pieces(offset, rest.len() as u64) {
            let (now, later) = rest.split_at_mut(piece.length);
            match &*self.disk.read(piece.chunk) {
                Some(bytes) => now.copy_from_slice(&bytes[piece.begin..piece.begin + now.len()]),
                None => now.fill(0),
            }
            rest = later;
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64, _flags: Flags) -> Result<()> {
        let mut rest = buf;
        for piece in Disk::pieces(offset, rest.len() as u64) {
            let (now, later) = rest.split_at(piece.length);
            let mut chunk = self.disk.write(piece.chunk);
            allocated(&mut chunk)?[piece.begin..piece.begin + now.len()].copy_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn trim(&self, count: u32, offset: u64, _flags: Flags) -> Result<()> {
        Disk::pieces(offset, count.into()).try_for_each(|piece| self.disk.clear(&piece, true))
    }

    fn zero(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        let may_punch = flags.contains(Flags::MAY_TRIM);
        Disk::pieces(offset, count.into()).try_for_each(|piece| self.disk.clear(&piece, may_punch))
    }

    fn cache(&self, _count: u32, _offset: u64) -> Result<()> {
        Ok(())
    }

    fn extents(
        &self,
        count: u32,
        offset: u64,
        flags: Flags,
        extent_handle: &mut ExtentHandle,
    ) -> Result<()> {
        let end = offset + u64::from(count);
        let kind = |chunk| match *self.disk.read(chunk) {
            Some(_) => ExtentType::Allocated,
            None => ExtentType::HoleZero,
        };
        let mut begin = offset / CHUNK * CHUNK; // it may begin before the range
        while begin < end {
            // One extent is a run of equal chunks.
            let this = kind((begin / CHUNK) as usize);
            let mut past = begin + CHUNK;
            while past < end && kind((past / CHUNK) as usize) == this {
                past += CHUNK;
            }
            extent_handle.add(begin, past - begin, this)?;
            if flags.contains(Flags::REQ_ONE) {
                break;
            }
            begin = past;
        }
        Ok(())
    }

    fn unload() {
        with_parameters(|p| p.disk = None);
    }
}

plugin!(RamDisk {
    config,
    config_complete,
    dump_plugin,
    get_ready,
    can_multi_conn,
    can_fua,
    can_cache,
    can_fast_zero,
    write_at,
    flush,
    trim,
    zero,
    cache,
    extents,
    unload,
});
