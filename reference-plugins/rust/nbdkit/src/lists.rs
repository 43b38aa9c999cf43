//! The lists that a callback fills.

use crate::error::{Error, Result};
use crate::{errno, ffi, ExtentType};
use std::ffi::CString;
use std::io;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr;

/// The extents that [`Server::extents`](crate::Server::extents) reports.
#[derive(Debug)]
pub struct ExtentHandle(pub(crate) *mut c_void);

impl ExtentHandle {
    /// `[offset, offset + len)` is of one kind. It begins where the one before has ended. On
    /// failure end the callback with the error.
    pub fn add(&mut self, offset: u64, len: u64, et: ExtentType) -> Result<()> {
        if unsafe { ffi::nbdkit_add_extent(self.0, offset, len, et as u32) } == -1 {
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(errno::EIO);
            return Err(Error::reported(errno, "nbdkit_add_extent"));
        }
        Ok(())
    }
}

/// The exports that [`Server::list_exports`](crate::Server::list_exports) tells.
#[derive(Debug)]
pub struct ExportList(pub(crate) *mut c_void);

type AddExport = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> c_int;
type UseDefault = unsafe extern "C" fn(*mut c_void) -> c_int;

impl ExportList {
    /// One export, at most 4096 bytes each of name and description.
    pub fn add(&mut self, name: &str, description: Option<&str>) -> Result<()> {
        let name = text(name)?;
        let description = description.map(text).transpose()?;
        let add: Option<AddExport> = unsafe { ffi::newer(b"nbdkit_add_export\0") };
        let add = add.ok_or_else(|| Error::new(errno::EINVAL, "nbdkit before 1.22 has no exports"))?;
        let description = description.as_ref().map_or(ptr::null(), |d| d.as_ptr());
        match unsafe { add(self.0, name.as_ptr(), description) } {
            -1 => Err(Error::reported(errno::EINVAL, "nbdkit_add_export")),
            _ => Ok(()),
        }
    }

    /// The export that [`Server::default_export`](crate::Server::default_export) names.
    pub fn use_default(&mut self) -> Result<()> {
        let add: Option<UseDefault> = unsafe { ffi::newer(b"nbdkit_use_default_export\0") };
        let add = add.ok_or_else(|| {
            Error::new(errno::EINVAL, "nbdkit before 1.24 has no default exports")
        })?;
        match unsafe { add(self.0) } {
            -1 => Err(Error::reported(errno::EINVAL, "nbdkit_use_default_export")),
            _ => Ok(()),
        }
    }
}

pub(crate) fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|e| Error::new(errno::EINVAL, e))
}
