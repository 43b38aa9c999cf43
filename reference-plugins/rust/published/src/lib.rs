//! rust-published: written for the interface of the nbdkit crate that nbdkit-rust-plugin(3)
//! describes (version 0.3.0), and for nothing of ours. That it compiles, unchanged, with either
//! crate is what it is for; it names every callback of that version which a disk can have, and no
//! item of ours that the other one lacks.

use nbdkit::*;
use std::sync::Mutex;

const EINVAL: i32 = 22;

#[derive(Default)]
struct Config {
    size: Option<i64>,
    readonly: bool,
    disk: Vec<u8>,
}

static CONFIG: Mutex<Option<Config>> = Mutex::new(None);

fn config<T>(f: impl FnOnce(&mut Config) -> T) -> T {
    f(CONFIG.lock().unwrap().get_or_insert_with(Config::default))
}

struct Disk {
    export: String,
}

impl Disk {
    fn range(&self, offset: u64, count: usize) -> std::ops::Range<usize> {
        offset as usize..offset as usize + count
    }
}

impl Server for Disk {
    fn cache(&self, _count: u32, _offset: u64) -> Result<()> {
        Ok(())
    }

    fn can_cache(&self) -> Result<CacheFlags> {
        Ok(CacheFlags::Native)
    }

    fn can_extents(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_flush(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_fast_zero(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_fua(&self) -> Result<FuaFlags> {
        Ok(FuaFlags::Emulate)
    }

    fn can_multi_conn(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_trim(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_write(&self) -> Result<bool> {
        Ok(!config(|c| c.readonly))
    }

    fn can_zero(&self) -> Result<bool> {
        Ok(true)
    }

    fn config(key: &str, value: &str) -> Result<()> {
        match key {
            "size" => {
                let size = parse_size(value)?;
                config(|c| c.size = Some(size));
            }
            "read-only" => {
                let readonly = parse_bool(value)?;
                config(|c| c.readonly = readonly);
            }
            _ => return Err(Error::new(EINVAL, format!("unknown parameter {}", key))),
        }
        Ok(())
    }

    fn config_complete() -> Result<()> {
        debug!("stdin may be used: {}", is_stdio_safe());
        config(|c| c.size.get_or_insert(1 << 20).to_owned());
        Ok(())
    }

    fn config_help() -> Option<&'static str> {
        Some("size=<SIZE>       Size of the disk (default 1M).\nread-only=<BOOL>  No writes.")
    }

    fn description() -> Option<&'static str> {
        Some("A disk in memory")
    }

    fn dump_plugin() {
        println!("rust_published=1");
    }

    fn extents(
        &self,
        count: u32,
        offset: u64,
        flags: Flags,
        extent_handle: &mut ExtentHandle,
    ) -> Result<()> {
        let zero = config(|c| c.disk[self.range(offset, 1)][0] == 0);
        let length = if flags.contains(Flags::REQ_ONE) && zero { 1 } else { u64::from(count) };
        let kind = if length == 1 && zero { ExtentType::Zero } else { ExtentType::Allocated };
        extent_handle.add(offset, length, kind)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn after_fork() -> Result<()> {
        debug!("serving");
        Ok(())
    }

    fn get_ready() -> Result<()> {
        config(|c| {
            let size = c.size.unwrap_or(0) as usize;
            c.disk.try_reserve_exact(size).map_err(|e| Error::new(12, e))?;
            c.disk.resize(size, 0);
            Ok(())
        })
    }

    fn get_size(&self) -> Result<i64> {
        Ok(config(|c| c.disk.len()) as i64)
    }

    fn is_rotational(&self) -> Result<bool> {
        Ok(false)
    }

    fn load() {
        config(|c| *c = Config::default());
    }

    fn longname() -> Option<&'static str> {
        Some("a plugin for the published crate")
    }

    fn magic_config_key() -> Option<&'static str> {
        Some("size")
    }

    fn name() -> &'static str {
        "rust-published"
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        let export = export_name().map_err(|e| Error::new(EINVAL, e.to_string()))?;
        debug!("export {:?}, TLS {}", export, is_tls()?);
        Ok(Box::new(Disk { export }))
    }

    fn preconnect(_readonly: bool) -> Result<()> {
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let range = self.range(offset, buf.len());
        config(|c| buf.copy_from_slice(&c.disk[range]));
        Ok(())
    }

    fn thread_model() -> Result<ThreadModel> {
        Ok(ThreadModel::SerializeRequests)
    }

    fn trim(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        self.zero(count, offset, flags | Flags::MAY_TRIM)
    }

    fn unload() {
        config(|c| *c = Config::default());
    }

    fn version() -> Option<&'static str> {
        Some("0.3.0")
    }

    fn write_at(&self, buf: &[u8], offset: u64, _flags: Flags) -> Result<()> {
        let range = self.range(offset, buf.len());
        config(|c| c.disk[range].copy_from_slice(buf));
        Ok(())
    }

    fn zero(&self, count: u32, offset: u64, _flags: Flags) -> Result<()> {
        let range = self.range(offset, count as usize);
        config(|c| c.disk[range].fill(0));
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        debug!("export {:?} is closed", self.export);
    }
}

plugin!(Disk {
    after_fork, cache, can_cache, can_extents, can_fast_zero, can_flush, can_fua, can_multi_conn,
    can_trim, can_write, can_zero, config, config_complete, config_help, dump_plugin, extents,
    flush, get_ready, is_rotational, load, preconnect, thread_model, trim, unload, write_at, zero
});
