//! What the faulty plugins start from: parameters, and a correct disk.

use nbdkit::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub const PAGE: u64 = 4096;

/// The page that the storage cannot read, in the plugins that have one.
pub const BAD_PAGE: u64 = 64;

pub struct Parameters {
    pub size: i64,
    pub fault: &'static str,
}

static PARAMETERS: Mutex<Parameters> = Mutex::new(Parameters { size: 1 << 20, fault: "none" });

fn parameters() -> MutexGuard<'static, Parameters> {
    PARAMETERS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub const CONFIG_HELP: &str = "size=<SIZE>   Size of the disk (default 1M).\n\
                               fault=<NAME>  Which fault to have (default none).";

/// Refuses a fault that there is not: a misspelt one would look like one that was not found.
pub fn config(faults: &[&'static str], key: &str, value: &str) -> Result<()> {
    match key {
        "size" => {
            let size = parse_size(value)?;
            parameters().size = size;
        }
        "fault" => match faults.iter().chain(&["none"]).find(|name| **name == value) {
            Some(name) => parameters().fault = name,
            None => {
                let why = format!("fault={} is not one of the known ones", value);
                return Err(Error::new(errno::EINVAL, why));
            }
        },
        _ => return Err(Error::new(errno::EINVAL, format!("unknown parameter '{}'", key))),
    }
    Ok(())
}

pub fn fault(name: &str) -> bool {
    parameters().fault == name
}

pub fn size() -> i64 {
    parameters().size
}

/// The disk's bytes.
pub struct Disk {
    pub bytes: Mutex<Vec<u8>>,
}

static DISK: Mutex<Option<Arc<Disk>>> = Mutex::new(None);

fn the_disk() -> MutexGuard<'static, Option<Arc<Disk>>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn make_disk() -> Result<()> {
    let size = size() as usize;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|e| Error::new(errno::ENOMEM, e))?;
    bytes.resize(size, 0);
    *the_disk() = Some(Arc::new(Disk { bytes: Mutex::new(bytes) }));
    Ok(())
}

pub fn disk() -> Result<Arc<Disk>> {
    the_disk().clone().ok_or_else(|| Error::new(errno::EIO, "there is no disk"))
}

pub fn forget_disk() {
    *the_disk() = None;
}

impl Disk {
    /// Whether a panic has poisoned the lock or not: bytes are never half valid.
    pub fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read(&self, buf: &mut [u8], offset: u64) {
        buf.copy_from_slice(&self.lock()[place(offset, buf.len())]);
    }

    pub fn write(&self, buf: &[u8], offset: u64) {
        self.lock()[place(offset, buf.len())].copy_from_slice(buf);
    }
}

pub fn place(offset: u64, count: usize) -> std::ops::Range<usize> {
    offset as usize..offset as usize + count
}

/// What the storage says: one page cannot be read.
pub fn storage_reads(offset: u64, count: usize) -> std::result::Result<(), std::io::Error> {
    let bad = BAD_PAGE * PAGE..(BAD_PAGE + 1) * PAGE;
    if offset < bad.end && bad.start < offset + count as u64 {
        return Err(std::io::Error::from_raw_os_error(errno::EIO));
    }
    Ok(())
}
