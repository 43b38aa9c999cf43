//! Registration.

use crate::callbacks::{self, guard};
use crate::lists::text;
use crate::{Result, Server, ThreadModel};
use std::marker::PhantomData;
use std::mem;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

type Handle = *mut c_void;
type Flag = Option<unsafe extern "C" fn(Handle) -> c_int>;
type Range = Option<unsafe extern "C" fn(Handle, u32, u64, u32) -> c_int>;

/// `struct nbdkit_plugin` of version 2 of the API, as of nbdkit 1.30. Older servers take as much
/// of it as they know.
#[allow(missing_docs)]
#[repr(C)]
pub struct Plugin {
    struct_size: u64,
    api_version: c_int,
    thread_model_at_most: c_int,
    name: *const c_char,
    longname: *const c_char,
    version: *const c_char,
    description: *const c_char,
    load: Option<extern "C" fn()>,
    unload: Option<extern "C" fn()>,
    config: Option<unsafe extern "C" fn(*const c_char, *const c_char) -> c_int>,
    config_complete: Option<extern "C" fn() -> c_int>,
    config_help: *const c_char,
    open: extern "C" fn(c_int) -> Handle,
    close: unsafe extern "C" fn(Handle),
    get_size: unsafe extern "C" fn(Handle) -> i64,
    can_write: Flag,
    can_flush: Flag,
    is_rotational: Flag,
    can_trim: Flag,
    of_version_1: [*const c_void; 5],
    errno_is_preserved: c_int,
    dump_plugin: Option<extern "C" fn()>,
    can_zero: Flag,
    can_fua: Flag,
    pread: unsafe extern "C" fn(Handle, *mut c_void, u32, u64, u32) -> c_int,
    pwrite: Option<unsafe extern "C" fn(Handle, *const c_void, u32, u64, u32) -> c_int>,
    flush: Option<unsafe extern "C" fn(Handle, u32) -> c_int>,
    trim: Range,
    zero: Range,
    magic_config_key: *const c_char,
    can_multi_conn: Flag,
    can_extents: Flag,
    extents: Option<unsafe extern "C" fn(Handle, u32, u64, u32, *mut c_void) -> c_int>,
    can_cache: Flag,
    cache: Range,
    thread_model: Option<extern "C" fn() -> c_int>,
    can_fast_zero: Flag,
    preconnect: Option<extern "C" fn(c_int) -> c_int>,
    get_ready: Option<extern "C" fn() -> c_int>,
    after_fork: Option<extern "C" fn() -> c_int>,
    list_exports: Option<extern "C" fn(c_int, c_int, *mut c_void) -> c_int>,
    default_export: Option<extern "C" fn(c_int, c_int) -> *const c_char>,
    export_description: Option<unsafe extern "C" fn(Handle) -> *const c_char>,
    cleanup: Option<extern "C" fn()>,
    block_size: Option<unsafe extern "C" fn(Handle, *mut u32, *mut u32, *mut u32) -> c_int>,
}

/// What [`plugin!`](crate::plugin) builds: a method for each callback that can be named.
pub struct Builder<S: Server> {
    plugin: Plugin,
    of: PhantomData<fn() -> S>,
}

/// Strings of the plugin struct must outlive the plugin.
fn leaked(string: Option<&'static str>) -> Result<*const c_char> {
    string.map_or(Ok(ptr::null()), |string| Ok(text(string)?.into_raw() as *const c_char))
}

macro_rules! callbacks {
    ($($name:ident = $function:expr;)*) => {$(
        #[allow(missing_docs)]
        #[must_use]
        pub fn $name(mut self) -> Self {
            self.plugin.$name = Some($function);
            self
        }
    )*};
}

macro_rules! strings {
    ($($name:ident)*) => {$(
        #[allow(missing_docs)]
        #[must_use]
        pub fn $name(self) -> Self {
            self
        }
    )*};
}

impl<S: Server> Builder<S> {
    fn new() -> Result<Builder<S>> {
        let plugin = Plugin {
            struct_size: mem::size_of::<Plugin>() as u64,
            api_version: 2,
            thread_model_at_most: ThreadModel::Parallel as c_int,
            name: leaked(Some(S::name()))?,
            longname: leaked(S::longname())?,
            version: leaked(S::version())?,
            description: leaked(S::description())?,
            load: None,
            unload: None,
            config: None,
            config_complete: None,
            config_help: leaked(S::config_help())?,
            open: callbacks::open::<S>,
            close: callbacks::close,
            get_size: callbacks::get_size,
            can_write: None,
            can_flush: None,
            is_rotational: None,
            can_trim: None,
            of_version_1: [ptr::null(); 5],
            errno_is_preserved: 0,
            dump_plugin: None,
            can_zero: None,
            can_fua: None,
            pread: callbacks::pread,
            pwrite: None,
            flush: None,
            trim: None,
            zero: None,
            magic_config_key: leaked(S::magic_config_key())?,
            can_multi_conn: None,
            can_extents: None,
            extents: None,
            can_cache: None,
            cache: None,
            thread_model: None,
            can_fast_zero: None,
            preconnect: None,
            get_ready: None,
            after_fork: None,
            list_exports: None,
            default_export: None,
            export_description: None,
            cleanup: None,
            block_size: None,
        };
        Ok(Builder { plugin, of: PhantomData })
    }

    #[allow(missing_docs)]
    #[must_use]
    pub fn write_at(mut self) -> Self {
        self.plugin.pwrite = Some(callbacks::pwrite);
        self
    }

    callbacks! {
        load = callbacks::load::<S>;
        unload = callbacks::unload::<S>;
        config = callbacks::config::<S>;
        config_complete = callbacks::config_complete::<S>;
        can_write = callbacks::can_write;
        can_flush = callbacks::can_flush;
        is_rotational = callbacks::is_rotational;
        can_trim = callbacks::can_trim;
        dump_plugin = callbacks::dump_plugin::<S>;
        can_zero = callbacks::can_zero;
        can_fua = callbacks::can_fua;
        flush = callbacks::flush;
        trim = callbacks::trim;
        zero = callbacks::zero;
        can_multi_conn = callbacks::can_multi_conn;
        can_extents = callbacks::can_extents;
        extents = callbacks::extents;
        can_cache = callbacks::can_cache;
        cache = callbacks::cache;
        thread_model = callbacks::thread_model::<S>;
        can_fast_zero = callbacks::can_fast_zero;
        preconnect = callbacks::preconnect::<S>;
        get_ready = callbacks::get_ready::<S>;
        after_fork = callbacks::after_fork::<S>;
        list_exports = callbacks::list_exports::<S>;
        default_export = callbacks::default_export::<S>;
        export_description = callbacks::export_description;
        cleanup = callbacks::cleanup::<S>;
        block_size = callbacks::block_size;
    }

    // Always registered; naming them does no harm.
    strings! { longname version description config_help magic_config_key }
}

/// The plugin struct, made at the first call and the same at every other.
pub fn register<S: Server>(name_callbacks: fn(Builder<S>) -> Builder<S>) -> *const Plugin {
    // Each plugin is a shared object of its own, with a copy of this.
    static REGISTERED: AtomicPtr<Plugin> = AtomicPtr::new(ptr::null_mut());
    let registered = REGISTERED.load(Ordering::Acquire);
    if !registered.is_null() {
        return registered;
    }
    let made = guard("plugin_init", ptr::null_mut(), || {
        Ok(Box::into_raw(Box::new(name_callbacks(Builder::new()?).plugin)))
    });
    let null = ptr::null_mut();
    match REGISTERED.compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => made,
        Err(earlier) => earlier,
    }
}

/// Registers a plugin: the type that implements [`Server`](crate::Server), and the optional
/// callbacks that it implements. A callback that is not named is never called.
///
/// ```
/// # use nbdkit::*;
/// # struct Disk;
/// # impl Server for Disk {
/// #     fn name() -> &'static str { "disk" }
/// #     fn open(_: bool) -> Result<Box<dyn Server>> { Ok(Box::new(Disk)) }
/// #     fn get_size(&self) -> Result<i64> { Ok(0) }
/// #     fn read_at(&self, _: &mut [u8], _: u64) -> Result<()> { Ok(()) }
/// # }
/// plugin!(Disk { config, thread_model, write_at, flush, trim });
/// ```
#[macro_export]
macro_rules! plugin {
    ($server:path { $($callback:ident),* $(,)? }) => {
        /// What nbdkit looks for in a plugin.
        #[no_mangle]
        pub extern "C" fn plugin_init() -> *const $crate::Plugin {
            $crate::register::<$server>(|callbacks| callbacks$(.$callback())*)
        }
    };
}
