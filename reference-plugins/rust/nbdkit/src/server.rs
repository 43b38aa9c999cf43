//! The trait a plugin implements.

use crate::{
    errno, BlockSize, CacheFlags, Error, ExportList, ExtentHandle, Flags, FuaFlags, Result,
    ThreadModel,
};

fn not_implemented<T>(callback: &str) -> Result<T> {
    let why = format!("{} is named in plugin!, but Server does not implement it", callback);
    Err(Error::new(errno::EIO, why))
}

/// One connection, and the functions that concern the plugin as a whole.
///
/// `name`, `open`, `get_size` and `read_at` are required. The others are called only if they are
/// named in [`plugin!`](crate::plugin); what nbdkit does without them nbdkit-plugin(3) says at the
/// callback of the same name (`read_at` is `.pread`, `write_at` is `.pwrite`). Strings
/// (`longname`, `version`, `description`, `config_help`, `magic_config_key`) need not be named.
///
/// There is no `close`: implement [`Drop`]. After SIGTERM nbdkit may end without dropping the
/// connections that are still open.
///
/// In the order of their calls. Those with `&self` may be called by many threads at once; see
/// [`ThreadModel`].
#[allow(unused_variables)]
pub trait Server {
    /// The plugin's name: letters, digits and dashes.
    fn name() -> &'static str
    where
        Self: Sized;

    /// A longer name.
    fn longname() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }

    /// The version of the plugin.
    fn version() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }

    /// What it is, in some lines.
    fn description() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }

    /// The parameters, one a line; `nbdkit PLUGIN --help` shows it.
    fn config_help() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }

    /// The key of a parameter that is given without one.
    fn magic_config_key() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }

    /// The plugin was loaded. It may be that `unload` comes next: open nothing yet.
    fn load()
    where
        Self: Sized,
    {
    }

    /// A parameter. Those that are not known are refused.
    fn config(key: &str, value: &str) -> Result<()>
    where
        Self: Sized,
    {
        not_implemented("config")
    }

    /// There are no more parameters: complain about those that are missing.
    fn config_complete() -> Result<()>
    where
        Self: Sized,
    {
        not_implemented("config_complete")
    }

    /// Lowers the thread model from [`ThreadModel::Parallel`].
    fn thread_model() -> Result<ThreadModel>
    where
        Self: Sized,
    {
        not_implemented("thread_model")
    }

    /// `nbdkit PLUGIN --dump-plugin`: print `key=value` lines on stdout. `config_complete` has not
    /// been called.
    fn dump_plugin()
    where
        Self: Sized,
    {
    }

    /// The last call before nbdkit forks and changes its directory. Start no threads here: a fork
    /// takes one along.
    fn get_ready() -> Result<()>
    where
        Self: Sized,
    {
        not_implemented("get_ready")
    }

    /// The first call in the process that serves: the place to start threads and runtimes.
    fn after_fork() -> Result<()>
    where
        Self: Sized,
    {
        not_implemented("after_fork")
    }

    /// A client has connected. An error turns it away; be quick.
    fn preconnect(readonly: bool) -> Result<()>
    where
        Self: Sized,
    {
        not_implemented("preconnect")
    }

    /// The exports there are.
    fn list_exports(readonly: bool, is_tls: bool, exports: &mut ExportList) -> Result<()>
    where
        Self: Sized,
    {
        not_implemented("list_exports")
    }

    /// The name that stands for `""`; None: there is no default. The binding keeps each distinct
    /// answer until the process ends.
    fn default_export(readonly: bool, is_tls: bool) -> Result<Option<String>>
    where
        Self: Sized,
    {
        not_implemented("default_export")
    }

    /// A connection. [`export_name`](crate::export_name) tells which export it wants.
    fn open(readonly: bool) -> Result<Box<dyn Server>>
    where
        Self: Sized;

    /// What this export is, for people.
    fn export_description(&self) -> Result<Option<String>> {
        not_implemented("export_description")
    }

    /// The size in bytes; asked once for each connection.
    fn get_size(&self) -> Result<i64>;

    /// Sizes of requests that suit the storage.
    fn block_size(&self) -> Result<BlockSize> {
        not_implemented("block_size")
    }

    /// May the client write?
    fn can_write(&self) -> Result<bool> {
        not_implemented("can_write")
    }

    /// May the client flush?
    fn can_flush(&self) -> Result<bool> {
        not_implemented("can_flush")
    }

    /// Is it a spinning disk?
    fn is_rotational(&self) -> Result<bool> {
        not_implemented("is_rotational")
    }

    /// May the client trim?
    fn can_trim(&self) -> Result<bool> {
        not_implemented("can_trim")
    }

    /// Is `zero` to be used? The client may zero in any case: nbdkit writes zeroes otherwise.
    fn can_zero(&self) -> Result<bool> {
        not_implemented("can_zero")
    }

    /// May the client ask for zeroes only if that is fast?
    fn can_fast_zero(&self) -> Result<bool> {
        not_implemented("can_fast_zero")
    }

    /// Is `extents` to be used?
    fn can_extents(&self) -> Result<bool> {
        not_implemented("can_extents")
    }

    /// Who makes FUA requests stable?
    fn can_fua(&self) -> Result<FuaFlags> {
        not_implemented("can_fua")
    }

    /// Does a flush on one connection cover all of them, and are its data seen by all?
    fn can_multi_conn(&self) -> Result<bool> {
        not_implemented("can_multi_conn")
    }

    /// Who serves cache requests?
    fn can_cache(&self) -> Result<CacheFlags> {
        not_implemented("can_cache")
    }

    /// Fills the whole of `buf`, or fails. The slice is the server's: it ends with the call.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Writes the whole of `buf`, or fails. The slice is the server's: copy what is to be kept.
    fn write_at(&self, buf: &[u8], offset: u64, flags: Flags) -> Result<()> {
        not_implemented("write_at")
    }

    /// What was written before is stable when this returns.
    fn flush(&self) -> Result<()> {
        not_implemented("flush")
    }

    /// These contents are not needed any more. `count` may be almost 4 GiB.
    fn trim(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        not_implemented("trim")
    }

    /// The range reads as zeroes when this returns. Failing with
    /// [`EOPNOTSUPP`](errno::EOPNOTSUPP) makes nbdkit write them. `count` may be almost 4 GiB.
    fn zero(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        not_implemented("zero")
    }

    /// Reports what `[offset, offset + count)` consists of, from `offset` on and without gaps.
    fn extents(
        &self,
        count: u32,
        offset: u64,
        flags: Flags,
        extent_handle: &mut ExtentHandle,
    ) -> Result<()> {
        not_implemented("extents")
    }

    /// The client is going to read this range.
    fn cache(&self, count: u32, offset: u64) -> Result<()> {
        not_implemented("cache")
    }

    /// The last connection has ended: stop what `after_fork` has started.
    fn cleanup()
    where
        Self: Sized,
    {
    }

    /// The plugin is about to be unloaded.
    fn unload()
    where
        Self: Sized,
    {
    }
}
