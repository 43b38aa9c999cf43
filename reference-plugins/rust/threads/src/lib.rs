//! rust-threads: a disk whose requests are carried out by threads of the plugin's own.
//!
//!     nbdkit ./rust-threads.so size=64M threads=4
//!
//! So does a plugin that uses an asynchronous runtime: callbacks hand their request over and wait.
//! What matters here is where the threads begin and end. `after_fork` starts them: nbdkit may fork
//! after `get_ready`, and a fork takes along only the thread that calls it. `cleanup` stops them:
//! after `unload` their code is gone. A tokio runtime is built, and shut down, at the same places.
//!
//! The buffers of a request belong to the server and only as long as the call lasts: what goes to
//! another thread is a copy.

mod pool;

use nbdkit::*;
use pool::Pool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The bytes of the disk. The pool's threads are the only ones that look at them.
type Bytes = Arc<RwLock<Vec<u8>>>;

struct Plugin {
    size: i64,
    threads: usize,
    bytes: Option<Bytes>,
    pool: Option<Arc<Pool>>,
}

const DEFAULT: Plugin = Plugin { size: 1 << 20, threads: 2, bytes: None, pool: None };
const MOST_THREADS: usize = 64;

static PLUGIN: Mutex<Plugin> = Mutex::new(DEFAULT);

fn with_plugin<T>(body: impl FnOnce(&mut Plugin) -> T) -> T {
    body(&mut PLUGIN.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Connection {
    size: i64,
    bytes: Bytes,
    pool: Arc<Pool>,
}

impl Connection {
    /// Has the pool run it on the disk, and waits for what it gives.
    fn ask<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Vec<u8>) -> T + Send + 'static,
    {
        let bytes = self.bytes.clone();
        self.pool
            .run(move || work(&mut bytes.write().unwrap_or_else(PoisonError::into_inner)))
            .ok_or_else(|| Error::new(errno::EIO, "the thread of this request has ended"))
    }
}

fn place(offset: u64, count: usize) -> std::ops::Range<usize> {
    offset as usize..offset as usize + count
}

impl Server for Connection {
    fn name() -> &'static str {
        "rust-threads"
    }

    fn longname() -> Option<&'static str> {
        Some("nbdcheck reference plugin with threads in Rust")
    }

    fn version() -> Option<&'static str> {
        Some(env!("CARGO_PKG_VERSION"))
    }

    fn config_help() -> Option<&'static str> {
        Some(
            "size=<SIZE>  Size of the disk (default 1M).\n\
             threads=<N>  Threads that carry out requests (1 to 64, default 2).",
        )
    }

    fn magic_config_key() -> Option<&'static str> {
        Some("size")
    }

    fn config(key: &str, value: &str) -> Result<()> {
        match key {
            "size" => {
                let size = parse_size(value)?;
                with_plugin(|p| p.size = size);
            }
            "threads" => {
                let threads = value.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n));
                let threads = threads.ok_or_else(|| {
                    let why = format!("threads={} is not a number from 1 to 64", value);
                    Error::new(errno::EINVAL, why)
                })?;
                with_plugin(|p| p.threads = threads);
            }
            _ => return Err(Error::new(errno::EINVAL, format!("unknown parameter '{}'", key))),
        }
        Ok(())
    }

    /// Memory may be prepared before the fork; threads may not.
    fn get_ready() -> Result<()> {
        with_plugin(|p| {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(p.size as usize).map_err(|_| {
                Error::new(errno::ENOMEM, format!("cannot allocate {} bytes", p.size))
            })?;
            bytes.resize(p.size as usize, 0);
            p.bytes = Some(Arc::new(RwLock::new(bytes)));
            Ok(())
        })
    }

    fn after_fork() -> Result<()> {
        let pool = Pool::start(with_plugin(|p| p.threads))?;
        with_plugin(|p| p.pool = Some(Arc::new(pool)));
        Ok(())
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        with_plugin(|p| match (&p.bytes, &p.pool) {
            (Some(bytes), Some(pool)) => Ok(Box::new(Connection {
                size: p.size,
                bytes: bytes.clone(),
                pool: pool.clone(),
            }) as Box<dyn Server>),
            _ => Err(Error::new(errno::EIO, "nothing has been started")),
        })
    }

    fn get_size(&self) -> Result<i64> {
        Ok(self.size)
    }

    fn can_multi_conn(&self) -> Result<bool> {
        Ok(true)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let place = place(offset, buf.len());
        let read = self.ask(move |bytes| bytes[place].to_vec())?;
        buf.copy_from_slice(&read);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64, _flags: Flags) -> Result<()> {
        let place = place(offset, buf.len());
        let written = buf.to_vec();
        self.ask(move |bytes| bytes[place].copy_from_slice(&written))
    }

    fn zero(&self, count: u32, offset: u64, _flags: Flags) -> Result<()> {
        let place = place(offset, count as usize);
        self.ask(move |bytes| bytes[place].fill(0))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn cleanup() {
        if let Some(pool) = with_plugin(|p| p.pool.take()) {
            pool.stop();
        }
    }

    fn unload() {
        with_plugin(|p| *p = DEFAULT);
    }
}

plugin!(Connection {
    config,
    get_ready,
    after_fork,
    can_multi_conn,
    write_at,
    zero,
    flush,
    cleanup,
    unload,
});
