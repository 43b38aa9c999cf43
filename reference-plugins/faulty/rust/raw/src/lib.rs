//! faulty-rust-raw: a plugin without a binding, whose callbacks let a panic through.
//!
//!   unwrap   a read that fails is unwrapped: there is no way for a panic through C, and the
//!            process ends
//!
//! With fault=none the same read returns -1.

use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

extern "C" {
    fn nbdkit_error(fmt: *const c_char, ...);
    fn nbdkit_set_error(err: c_int);
}

const EIO: c_int = 5;
const SIZE: usize = 1 << 20;
const BAD: std::ops::Range<usize> = 64 * 4096..65 * 4096;

static DISK: Mutex<[u8; SIZE]> = Mutex::new([0; SIZE]);
static UNWRAPS: AtomicBool = AtomicBool::new(false);

fn say(text: &'static [u8]) {
    assert!(text.ends_with(b"\0"));
    unsafe { nbdkit_error(b"%s\0".as_ptr().cast(), text.as_ptr()) }
}

fn read(buf: &mut [u8], offset: usize) -> Result<(), c_int> {
    if offset < BAD.end && BAD.start < offset + buf.len() {
        return Err(EIO);
    }
    buf.copy_from_slice(&DISK.lock().map_err(|_| EIO)?[offset..offset + buf.len()]);
    Ok(())
}

unsafe extern "C" fn config(key: *const c_char, value: *const c_char) -> c_int {
    match (CStr::from_ptr(key).to_bytes(), CStr::from_ptr(value).to_bytes()) {
        (b"fault", b"none") => UNWRAPS.store(false, Ordering::Relaxed),
        (b"fault", b"unwrap") => UNWRAPS.store(true, Ordering::Relaxed),
        (b"fault", _) => {
            say(b"fault= is none or unwrap\0");
            return -1;
        }
        _ => {
            say(b"the only parameter is fault\0");
            return -1;
        }
    }
    0
}

extern "C" fn open(_readonly: c_int) -> *mut c_void {
    DISK_HANDLE.as_ptr() as *mut c_void
}

/// Connections have no state; this address stands for all of them.
static DISK_HANDLE: [u8; 1] = [0];

extern "C" fn get_size(_handle: *mut c_void) -> i64 {
    SIZE as i64
}

unsafe extern "C" fn pread(
    _handle: *mut c_void,
    buf: *mut c_void,
    count: u32,
    offset: u64,
    _flags: u32,
) -> c_int {
    let done = read(std::slice::from_raw_parts_mut(buf.cast(), count as usize), offset as usize);
    if UNWRAPS.load(Ordering::Relaxed) {
        done.unwrap();
        return 0;
    }
    match done {
        Ok(()) => 0,
        Err(errno) => {
            say(b"the page cannot be read\0");
            nbdkit_set_error(errno);
            -1
        }
    }
}

unsafe extern "C" fn pwrite(
    _handle: *mut c_void,
    buf: *const c_void,
    count: u32,
    offset: u64,
    _flags: u32,
) -> c_int {
    let bytes = std::slice::from_raw_parts(buf.cast::<u8>(), count as usize);
    match DISK.lock() {
        Ok(mut disk) => {
            disk[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
            0
        }
        Err(_) => {
            say(b"a request has panicked\0");
            nbdkit_set_error(EIO);
            -1
        }
    }
}

/// `struct nbdkit_plugin` up to `pwrite`: it may be shorter than the server's.
#[repr(C)]
pub struct Plugin {
    struct_size: u64,
    api_version: c_int,
    thread_model: c_int,
    name: *const c_char,
    strings: [*const c_char; 3],
    load_and_unload: [*const c_void; 2],
    config: unsafe extern "C" fn(*const c_char, *const c_char) -> c_int,
    config_complete: *const c_void,
    config_help: *const c_char,
    open: extern "C" fn(c_int) -> *mut c_void,
    close: *const c_void,
    get_size: extern "C" fn(*mut c_void) -> i64,
    other: [*const c_void; 13],
    pread: unsafe extern "C" fn(*mut c_void, *mut c_void, u32, u64, u32) -> c_int,
    pwrite: unsafe extern "C" fn(*mut c_void, *const c_void, u32, u64, u32) -> c_int,
}

unsafe impl Sync for Plugin {}

static PLUGIN: Plugin = Plugin {
    struct_size: std::mem::size_of::<Plugin>() as u64,
    api_version: 2,
    thread_model: 1, // SERIALIZE_ALL_REQUESTS
    name: b"faulty-rust-raw\0".as_ptr().cast(),
    strings: [std::ptr::null(); 3],
    load_and_unload: [std::ptr::null(); 2],
    config,
    config_complete: std::ptr::null(),
    config_help: b"fault=<NAME>  none or unwrap.\0".as_ptr().cast(),
    open,
    close: std::ptr::null(),
    get_size,
    other: [std::ptr::null(); 13],
    pread,
    pwrite,
};

#[no_mangle]
pub extern "C" fn plugin_init() -> *const Plugin {
    const _: () = assert!(std::mem::size_of::<Plugin>() == 232); // pwrite is at 224
    &PLUGIN
}
