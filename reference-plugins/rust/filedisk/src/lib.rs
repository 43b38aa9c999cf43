//! rust-filedisk: a file or block device as a disk, with real durability.
//!
//!     nbdkit ./rust-filedisk.so file=disk.img
//!
//! Each connection opens the file itself. They share the kernel's page cache and `sync_data`
//! reaches all of it, so what is flushed on one is stable for all: that is what lets
//! `can_multi_conn` say yes.

use nbdkit::*;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::raw::c_int;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::os::unix::io::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

// What the standard library does not have.
extern "C" {
    fn fallocate64(fd: c_int, mode: c_int, offset: i64, length: i64) -> c_int;
    fn lseek64(fd: c_int, offset: i64, whence: c_int) -> i64;
}
const FALLOC_FL_KEEP_SIZE: c_int = 1;
const FALLOC_FL_PUNCH_HOLE: c_int = 2;
const FALLOC_FL_ZERO_RANGE: c_int = 16;
const SEEK_DATA: c_int = 3;
const SEEK_HOLE: c_int = 4;
const ENXIO: i32 = 6;
const ENODEV: i32 = 19;
const ENOSYS: i32 = 38;

/// None: there is nothing of that kind from `offset` on.
fn seek(fd: RawFd, offset: u64, whence: c_int) -> io::Result<Option<u64>> {
    match unsafe { lseek64(fd, offset as i64, whence) } {
        -1 => match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(ENXIO) => Ok(None),
            e => Err(e),
        },
        found => Ok(Some(found as u64)),
    }
}

/// False: this file cannot do that.
fn allocate(fd: RawFd, mode: c_int, offset: u64, count: u32) -> io::Result<bool> {
    loop {
        if unsafe { fallocate64(fd, mode, offset as i64, i64::from(count)) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(errno::EOPNOTSUPP | ENOSYS | ENODEV) => return Ok(false),
            _ if error.kind() == ErrorKind::Interrupted => continue,
            _ => return Err(error),
        }
    }
}

/// Which file it was, in front of what went wrong.
fn about(path: &std::path::Path, error: io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(errno::EIO);
    Error::new(errno, format!("{}: {}", path.display(), error))
}

static FILE: Mutex<Option<PathBuf>> = Mutex::new(None);

fn file() -> Result<PathBuf> {
    FILE.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| {
        Error::new(errno::EINVAL, "the file parameter is required: which file shall be served?")
    })
}

struct FileDisk {
    path: PathBuf,
    file: File,
    writable: bool,
}

impl FileDisk {
    fn failed(&self, error: io::Error) -> Error {
        about(&self.path, error)
    }

    fn flush_if(&self, flags: Flags) -> Result<()> {
        if flags.contains(Flags::FUA) {
            self.flush()?;
        }
        Ok(())
    }
}

impl Server for FileDisk {
    fn name() -> &'static str {
        "rust-filedisk"
    }

    fn longname() -> Option<&'static str> {
        Some("nbdcheck reference file disk in Rust")
    }

    fn version() -> Option<&'static str> {
        Some(env!("CARGO_PKG_VERSION"))
    }

    fn config_help() -> Option<&'static str> {
        Some("file=<FILE>  (required) The file or block device to serve.")
    }

    fn magic_config_key() -> Option<&'static str> {
        Some("file")
    }

    fn config(key: &str, value: &str) -> Result<()> {
        match key {
            "file" => {
                // The server may change its directory later.
                let path = absolute_path(value)?;
                *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
                Ok(())
            }
            _ => Err(Error::new(errno::EINVAL, format!("unknown parameter '{}'", key))),
        }
    }

    fn config_complete() -> Result<()> {
        file().map(|_| ())
    }

    /// Fail before serving rather than at the first connection.
    fn get_ready() -> Result<()> {
        let path = file()?;
        let kind = path.metadata().map_err(|e| about(&path, e))?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            let why = format!("{}: neither a file nor a block device", path.display());
            return Err(Error::new(errno::EINVAL, why));
        }
        Ok(())
    }

    fn open(readonly: bool) -> Result<Box<dyn Server>> {
        let path = file()?;
        let read_only = || OpenOptions::new().read(true).open(&path);
        let opened = if readonly {
            read_only().map(|file| (file, false))
        } else {
            match OpenOptions::new().read(true).write(true).open(&path) {
                Err(e) if matches!(e.raw_os_error(), Some(1 | 13 | errno::EROFS)) => {
                    debug!("{}: {}; serving it read-only", path.display(), e);
                    read_only().map(|file| (file, false))
                }
                other => other.map(|file| (file, true)),
            }
        };
        let (file, writable) = opened.map_err(|e| about(&path, e))?;
        Ok(Box::new(FileDisk { path, file, writable }))
    }

    /// By seeking, for `metadata().len()` is 0 for a block device.
    fn get_size(&self) -> Result<i64> {
        let end = (&self.file).seek(SeekFrom::End(0)).map_err(|e| self.failed(e))?;
        Ok(end as i64)
    }

    fn can_write(&self) -> Result<bool> {
        Ok(self.writable)
    }

    fn can_multi_conn(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_fua(&self) -> Result<FuaFlags> {
        Ok(FuaFlags::Native)
    }

    fn can_fast_zero(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_extents(&self) -> Result<bool> {
        Ok(seek(self.file.as_raw_fd(), 0, SEEK_HOLE).is_ok())
    }

    /// A file that became shorter ends in `UnexpectedEof`: EIO.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buf, offset).map_err(|e| self.failed(e))
    }

    fn write_at(&self, buf: &[u8], offset: u64, flags: Flags) -> Result<()> {
        self.file.write_all_at(buf, offset).map_err(|e| self.failed(e))?;
        self.flush_if(flags)
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.failed(e))
    }

    /// A hint: where it cannot be done, doing nothing is right.
    fn trim(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        let mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        allocate(self.file.as_raw_fd(), mode, offset, count).map_err(|e| self.failed(e))?;
        self.flush_if(flags)
    }

    fn zero(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        let how = if flags.contains(Flags::MAY_TRIM) {
            FALLOC_FL_PUNCH_HOLE
        } else {
            FALLOC_FL_ZERO_RANGE
        };
        let mode = how | FALLOC_FL_KEEP_SIZE;
        if !allocate(self.file.as_raw_fd(), mode, offset, count).map_err(|e| self.failed(e))? {
            return Err(Error::new(errno::EOPNOTSUPP, "zeroes must be written to this file"));
        }
        self.flush_if(flags)
    }

    fn extents(
        &self,
        count: u32,
        offset: u64,
        flags: Flags,
        extent_handle: &mut ExtentHandle,
    ) -> Result<()> {
        let fd = self.file.as_raw_fd();
        let end = offset + u64::from(count);
        let mut at = offset;
        while at < end {
            let data = seek(fd, at, SEEK_DATA).map_err(|e| self.failed(e))?.unwrap_or(end);
            if data > at {
                extent_handle.add(at, data - at, ExtentType::HoleZero)?;
                if flags.contains(Flags::REQ_ONE) {
                    break;
                }
            }
            if data >= end {
                break;
            }
            let hole = seek(fd, data, SEEK_HOLE).map_err(|e| self.failed(e))?.unwrap_or(end);
            extent_handle.add(data, hole - data, ExtentType::Allocated)?;
            if flags.contains(Flags::REQ_ONE) && hole > data {
                break;
            }
            at = hole;
        }
        Ok(())
    }

    fn unload() {
        *FILE.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

plugin!(FileDisk {
    config,
    config_complete,
    get_ready,
    can_write,
    can_multi_conn,
    can_fua,
    can_fast_zero,
    can_extents,
    write_at,
    flush,
    trim,
    zero,
    extents,
    unload,
});
