//! The binding as a server sees it: the plugin struct, its callbacks, and what becomes of panics.

use nbdkit::*;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int, c_void};
use std::{fmt, io, mem, ptr};

// The server's side, as far as the binding needs it to be linked.
thread_local! {
    static MESSAGES: RefCell<Vec<String>> = RefCell::default();
    static DEBUG: RefCell<Vec<String>> = RefCell::default();
    static ERRNO: Cell<i32> = Cell::new(0);
    static MODE: Cell<&'static str> = Cell::new("");
}

fn text(string: *const c_char) -> String {
    unsafe { CStr::from_ptr(string) }.to_str().unwrap().to_owned()
}

// "%s" and one argument is all that the binding ever passes.
#[no_mangle]
extern "C" fn nbdkit_error(format: *const c_char, message: *const c_char) {
    assert_eq!(text(format), "%s");
    MESSAGES.with(|all| all.borrow_mut().push(text(message)));
}

#[no_mangle]
extern "C" fn nbdkit_debug(format: *const c_char, message: *const c_char) {
    assert_eq!(text(format), "%s");
    DEBUG.with(|all| all.borrow_mut().push(text(message)));
}

#[no_mangle]
extern "C" fn nbdkit_set_error(errno: c_int) {
    assert!(errno > 0, "nbdkit 1.32 ends with an assertion");
    ERRNO.with(|e| e.set(errno));
}

#[no_mangle]
extern "C" fn nbdkit_peer_name(address: *mut c_void, length: *mut u32) -> c_int {
    // 127.0.0.1, port 1234: family in the machine's order, port in the network's.
    let mut bytes = vec![0u8; 16];
    bytes[..2].copy_from_slice(&2u16.to_ne_bytes());
    bytes[2..8].copy_from_slice(&[4, 0xd2, 127, 0, 0, 1]);
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast(), bytes.len());
        *length = 16;
    }
    0
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[derive(Debug)]
struct PanicsWhenShown;

impl fmt::Display for PanicsWhenShown {
    fn fmt(&self, _: &mut fmt::Formatter) -> fmt::Result {
        panic!("shown");
    }
}

impl std::error::Error for PanicsWhenShown {}

/// Fails in the way that MODE says.
fn fail<T>() -> Result<T> {
    match MODE.with(Cell::get) {
        "panic" => panic!("a panic with {} value", 1),
        "panic with an object" => std::panic::panic_any(7),
        "panic with a panicking object" => std::panic::panic_any(PanicsWhenDropped),
        "panic when shown" => Err(Error::new(5, PanicsWhenShown)),
        "lines" => Err(Error::new(28, "one\ntwo\0\u{1b}[31m\n")),
        "no errno" => Err(Error::new(0, "nothing")),
        "negative errno" => Err(Error::new(-28, "nothing")),
        "declines" => Err(Error::new(errno::EOPNOTSUPP, "write them")),
        "io" => Err(io::Error::from_raw_os_error(30))?,
        "io without errno" => Err(io::Error::new(io::ErrorKind::Other, "other"))?,
        other => panic!("no such mode: {}", other),
    }
}

struct Subject {
    _field: Option<PanicsWhenDropped>,
}

impl Server for Subject {
    fn name() -> &'static str {
        "subject"
    }

    fn version() -> Option<&'static str> {
        Some("1")
    }

    fn load() {
        drop(fail::<()>());
    }

    fn config(key: &str, value: &str) -> Result<()> {
        Err(Error::new(errno::EINVAL, format!("{} is {}", key, value)))
    }

    fn default_export(_readonly: bool, is_tls: bool) -> Result<Option<String>> {
        Ok(if is_tls { None } else { Some("disk".into()) })
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        match MODE.with(Cell::get) {
            "" => Ok(Box::new(Subject { _field: None })),
            "drop panics" => Ok(Box::new(Subject { _field: Some(PanicsWhenDropped) })),
            _ => fail(),
        }
    }

    fn export_description(&self) -> Result<Option<String>> {
        Ok(Some(MODE.with(Cell::get).into()))
    }

    fn get_size(&self) -> Result<i64> {
        Ok(-1)
    }

    fn block_size(&self) -> Result<BlockSize> {
        Ok(BlockSize { minimum: 1, preferred: 4096, maximum: u32::MAX })
    }

    fn can_fua(&self) -> Result<FuaFlags> {
        Ok(FuaFlags::Native)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        buf.fill(offset as u8);
        if MODE.with(Cell::get).is_empty() {
            Ok(())
        } else {
            fail()
        }
    }

    fn zero(&self, _count: u32, _offset: u64, _flags: Flags) -> Result<()> {
        fail()
    }

    fn cache(&self, _count: u32, _offset: u64) -> Result<()> {
        Ok(())
    }
}

plugin!(Subject {
    load, config, default_export, export_description, block_size, can_fua, zero, cache, trim,
});

/// The plugin struct by the offsets of nbdkit's header on 64-bit machines.
struct Slots(*const u8);

impl Slots {
    fn new() -> Slots {
        Slots(plugin_init().cast())
    }

    unsafe fn at<T: Copy>(&self, offset: usize) -> T {
        ptr::read(self.0.add(offset).cast())
    }

    fn is_empty(&self, offset: usize) -> bool {
        unsafe { self.at::<usize>(offset) == 0 }
    }

    fn open(&self) -> *mut c_void {
        unsafe { self.at::<extern "C" fn(c_int) -> *mut c_void>(88)(0) }
    }

    fn close(&self, handle: *mut c_void) {
        unsafe { self.at::<extern "C" fn(*mut c_void)>(96)(handle) }
    }

    fn pread(&self, handle: *mut c_void, buf: &mut [u8], offset: u64) -> c_int {
        type Pread = extern "C" fn(*mut c_void, *mut c_void, u32, u64, u32) -> c_int;
        let count = buf.len() as u32;
        unsafe { self.at::<Pread>(216)(handle, buf.as_mut_ptr().cast(), count, offset, 0) }
    }

    /// trim (240), zero (248), cache (296).
    fn range(&self, slot: usize, handle: *mut c_void, flags: u32) -> c_int {
        type Range = extern "C" fn(*mut c_void, u32, u64, u32) -> c_int;
        unsafe { self.at::<Range>(slot)(handle, 512, 0, flags) }
    }
}

/// The messages since the last time.
fn said() -> Vec<String> {
    MESSAGES.with(RefCell::take)
}

fn errno_set() -> i32 {
    ERRNO.with(|e| e.replace(0))
}

fn mode(mode: &'static str) {
    MODE.with(|m| m.set(mode));
}

#[test]
fn the_struct_is_nbdkits() {
    let slots = Slots::new();
    unsafe {
        assert_eq!(slots.at::<u64>(0), 384);
        assert_eq!(slots.at::<c_int>(8), 2);
        assert_eq!(slots.at::<c_int>(12), ThreadModel::Parallel as c_int);
        assert_eq!(text(slots.at(16)), "subject");
        assert_eq!(text(slots.at(32)), "1");
    }
    assert_eq!(mem::size_of::<Plugin>(), 384);
    // Named ones are there, others are not.
    for named in [48, 64, 208, 240, 248, 296, 352, 360, 376] {
        assert!(!slots.is_empty(named), "{}", named);
    }
    for other in [24, 40, 56, 72, 80, 112, 120, 128, 136, 144, 176, 192, 200, 224, 232, 256, 264,
                  272, 280, 288, 304, 312, 320, 328, 336, 344, 368] {
        assert!(slots.is_empty(other), "{}", other);
    }
    assert_eq!(Slots::new().0, slots.0);
}

#[test]
fn a_panic_is_an_error() {
    let slots = Slots::new();
    mode("");
    let handle = slots.open();
    let mut buf = [0];
    for (way, words) in [
        ("panic", "read_at panicked: a panic with 1 value"),
        ("panic with an object", "read_at panicked: no message"),
        ("panic with a panicking object", "read_at panicked: no message"),
        ("panic when shown", "read_at panicked: shown"),
    ] {
        mode(way);
        assert_eq!(slots.pread(handle, &mut buf, 1), -1);
        assert_eq!(said(), [words]);
        assert_eq!(errno_set(), errno::EIO);
        mode("");
        assert_eq!(slots.pread(handle, &mut buf, 9), 0);
        assert_eq!((buf[0], said().len(), errno_set()), (9, 0, 0));
    }
    slots.close(handle);
    assert!(said().is_empty());
}

#[test]
fn so_it_is_in_functions_that_return_nothing_and_in_open() {
    let slots = Slots::new();
    mode("panic");
    unsafe { slots.at::<extern "C" fn()>(48)() }; // load
    assert_eq!(said(), ["load panicked: a panic with 1 value"]);
    assert!(slots.open().is_null());
    assert_eq!(said(), ["open panicked: a panic with 1 value"]);
}

#[test]
fn so_it_is_when_the_connection_is_dropped() {
    let slots = Slots::new();
    mode("drop panics");
    let handle = slots.open();
    assert!(!handle.is_null());
    slots.close(handle);
    assert_eq!(said(), ["close panicked: dropped"]);
}

#[test]
fn errors_have_one_line_and_a_positive_errno() {
    let slots = Slots::new();
    mode("");
    let handle = slots.open();
    for (way, words, errno) in [
        ("lines", "one two\\u{0}\\u{1b}[31m", errno::ENOSPC),
        ("no errno", "nothing", errno::EIO),
        ("negative errno", "nothing", errno::EIO),
        ("io", "Read-only file system (os error 30)", errno::EROFS),
        ("io without errno", "other", errno::EIO),
    ] {
        mode(way);
        assert_eq!(slots.pread(handle, &mut [0], 0), -1);
        assert_eq!(said(), [words]);
        assert_eq!(errno_set(), errno, "{}", way);
    }
    slots.close(handle);
}

#[test]
fn a_zero_that_declines_is_no_error() {
    let slots = Slots::new();
    mode("");
    let handle = slots.open();
    mode("declines");
    assert_eq!(slots.range(248, handle, 1), -1);
    assert_eq!((said().len(), errno_set()), (0, errno::EOPNOTSUPP));
    assert_eq!(DEBUG.with(RefCell::take), ["write them"]);
    mode("io");
    assert_eq!(slots.range(248, handle, 1), -1);
    assert_eq!((said().len(), errno_set()), (1, errno::EROFS));
    slots.close(handle);
}

#[test]
fn what_is_wrong_with_a_callback_is_said() {
    let slots = Slots::new();
    mode("");
    let handle = slots.open();
    assert_eq!(slots.range(240, handle, 0), -1); // trim: named, not implemented
    assert_eq!(said(), ["trim is named in plugin!, but Server does not implement it"]);
    let get_size: extern "C" fn(*mut c_void) -> i64 = unsafe { slots.at(104) };
    assert_eq!(get_size(handle), -1);
    assert_eq!(said(), ["get_size: -1 is not a size"]);
    assert_eq!(slots.range(296, handle, 0), 0); // cache
    assert_eq!(slots.range(296, handle, 1 << 20), -1);
    assert_eq!(said(), ["cache: unknown flags 0x100000"]);
    slots.close(handle);
}

#[test]
fn answers_arrive() {
    let slots = Slots::new();
    mode("");
    let handle = slots.open();
    let can_fua: extern "C" fn(*mut c_void) -> c_int = unsafe { slots.at(208) };
    assert_eq!(can_fua(handle), 2);
    type BlockSizes = extern "C" fn(*mut c_void, *mut u32, *mut u32, *mut u32) -> c_int;
    let block_size: BlockSizes = unsafe { slots.at(376) };
    let (mut minimum, mut preferred, mut maximum) = (7, 7, 7);
    assert_eq!(block_size(handle, &mut minimum, &mut preferred, &mut maximum), 0);
    assert_eq!((minimum, preferred, maximum), (1, 4096, u32::MAX));
    slots.close(handle);
}

#[test]
fn strings_stay_where_they_are() {
    let slots = Slots::new();
    mode("");
    let handle = slots.open();
    let default: extern "C" fn(c_int, c_int) -> *const c_char = unsafe { slots.at(352) };
    let name = default(0, 0);
    assert_eq!(text(name), "disk");
    assert_eq!(default(0, 0), name);
    assert!(default(0, 1).is_null());
    let describe: extern "C" fn(*mut c_void) -> *const c_char = unsafe { slots.at(360) };
    mode("first");
    let first = describe(handle);
    mode("second");
    assert_eq!(text(describe(handle)), "second");
    assert_eq!(text(first), "first");
    mode("first");
    assert_eq!(describe(handle), first);
    mode("with\0NUL");
    assert!(describe(handle).is_null());
    assert_eq!(said().len(), 1);
    slots.close(handle);
}

#[test]
fn parameters_are_utf8() {
    let slots = Slots::new();
    let config: extern "C" fn(*const c_char, *const c_char) -> c_int = unsafe { slots.at(64) };
    let key = CString::new("key").unwrap();
    let value = CString::new("värde").unwrap();
    assert_eq!(config(key.as_ptr(), value.as_ptr()), -1);
    assert_eq!(said(), ["key is värde"]);
    let latin1 = CString::new(vec![0xe4, b' ']).unwrap();
    assert_eq!(config(key.as_ptr(), latin1.as_ptr()), -1);
    assert!(said()[0].starts_with("key: invalid utf-8"));
}

#[test]
fn flags_are_a_set() {
    let mut flags = Flags::FUA | Flags::MAY_TRIM;
    assert_eq!(flags.bits(), 3);
    assert!(flags.contains(Flags::FUA) && !flags.contains(Flags::FUA | Flags::REQ_ONE));
    assert!(flags.intersects(Flags::FUA | Flags::REQ_ONE));
    flags.remove(Flags::FUA);
    assert_eq!(flags, Flags::MAY_TRIM);
    flags.set(Flags::FAST_ZERO, true);
    flags.toggle(Flags::MAY_TRIM);
    assert_eq!(flags, Flags::FAST_ZERO);
    assert_eq!(!flags & Flags::all(), Flags::all() - Flags::FAST_ZERO);
    assert_eq!(Flags::from_bits(16), None);
    assert_eq!(Flags::from_bits_truncate(18), Flags::FUA);
    assert!(Flags::empty().is_empty() && Flags::all().is_all());
}

#[test]
fn the_client_has_an_address() {
    let address: std::net::SocketAddr = peername().unwrap();
    assert_eq!(address.to_string(), "127.0.0.1:1234");
}

#[test]
fn an_older_server_is_no_obstacle() {
    // None of these functions is in this process.
    assert!(is_tls().is_err() && peer_uid().is_err());
    disconnect(true);
    assert_eq!(DEBUG.with(RefCell::take), ["this nbdkit has no nbdkit_disconnect"]);
}
