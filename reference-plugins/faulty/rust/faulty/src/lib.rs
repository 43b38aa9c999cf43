//! faulty-rust: what goes wrong in plugins written in Rust, one fault at a time.
//!
//!   recovered      none: a read that fails panics, and the lock it held is taken all the same
//!   poison         a read that fails is unwrapped under the lock: from then on every request is
//!   double-panic   and the guard of a statistic, dropped by the panic, panics as well
//!   keep           a slice is kept as a pointer, for the next request to use
//!   sync           an unsafe impl Sync around a buffer that all threads share
//!   refcell        a RefCell in the connection, which two requests borrow at once
//!   early-threads  the thread that serves requests is started before the fork
//!   println        a line that was left in
//!   leak           a cycle of Rc in each connection

mod thread;

use nbdkit::*;
use shared::{disk, fault, place, storage_reads, Disk};
use std::cell::{RefCell, UnsafeCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FAULTS: &[&str] = &[
    "recovered", "poison", "double-panic", "keep", "sync", "refcell", "early-threads", "println",
    "leak",
];

/// Counts requests that are under way, and does not expect them to end early.
struct Counted<'a>(&'a Mutex<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        assert!(!std::thread::panicking(), "a request has ended before it was counted");
        *self.0.lock().unwrap() += 1;
    }
}

static COUNT: Mutex<u32> = Mutex::new(0);

/// A write that has not been carried out yet. The slice was the server's.
struct Kept {
    bytes: *const u8,
    length: usize,
    offset: u64,
}

unsafe impl Send for Kept {}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

fn write_what_was_kept(disk: &Disk) {
    if let Some(kept) = KEPT.lock().unwrap().take() {
        disk.write(unsafe { std::slice::from_raw_parts(kept.bytes, kept.length) }, kept.offset);
    }
}

const BOUNCE: usize = 4096;

/// "Requests are short, they will not meet."
struct Bounce(UnsafeCell<[u8; BOUNCE]>);

unsafe impl Sync for Bounce {}

static SHARED: Bounce = Bounce(UnsafeCell::new([0; BOUNCE]));

/// What an observer needs to know of its connection, which keeps it.
struct Observer {
    connection: RefCell<Option<Rc<Observer>>>,
    _history: Vec<u8>,
}

struct Connection {
    disk: Arc<Disk>,
    scratch: RefCell<Vec<u8>>,
    _observer: Option<Rc<Observer>>,
}

impl Connection {
    /// The storage's answer, under the lock as it must not change meanwhile.
    fn read_from_storage(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        if fault("recovered") {
            let bytes = self.disk.lock();
            storage_reads(offset, buf.len()).unwrap();
            buf.copy_from_slice(&bytes[place(offset, buf.len())]);
        } else {
            let _counted = fault("double-panic").then(|| Counted(&COUNT));
            let bytes = self.disk.bytes.lock().unwrap();
            storage_reads(offset, buf.len()).unwrap();
            buf.copy_from_slice(&bytes[place(offset, buf.len())]);
        }
        Ok(())
    }

    fn read_by_bounce(&self, buf: &mut [u8], offset: u64) {
        for (i, part) in buf.chunks_mut(BOUNCE).enumerate() {
            let bounce = unsafe { &mut (*SHARED.0.get())[..part.len()] };
            self.disk.read(bounce, offset + (i * BOUNCE) as u64);
            part.copy_from_slice(bounce);
        }
    }

    fn read_by_scratch(&self, buf: &mut [u8], offset: u64) {
        let mut scratch = self.scratch.borrow_mut();
        scratch.resize(buf.len(), 0);
        std::thread::sleep(Duration::from_micros(200)); // this storage takes its time
        self.disk.read(&mut scratch, offset);
        buf.copy_from_slice(&scratch);
    }
}

impl Server for Connection {
    fn name() -> &'static str {
        "faulty-rust"
    }

    fn version() -> Option<&'static str> {
        Some("1")
    }

    fn config_help() -> Option<&'static str> {
        Some(shared::CONFIG_HELP)
    }

    fn config(key: &str, value: &str) -> Result<()> {
        shared::config(FAULTS, key, value)
    }

    /// Serialized, so that no fault shows as a race which is none.
    fn thread_model() -> Result<ThreadModel> {
        Ok(if fault("sync") || fault("refcell") {
            ThreadModel::Parallel
        } else {
            ThreadModel::SerializeAllRequests
        })
    }

    fn get_ready() -> Result<()> {
        shared::make_disk()?;
        if fault("early-threads") {
            thread::start()?;
        }
        Ok(())
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        let observer = fault("leak").then(|| {
            let new = Observer { connection: RefCell::new(None), _history: vec![1; 2000] };
            let observer = Rc::new(new);
            *observer.connection.borrow_mut() = Some(observer.clone());
            observer
        });
        let scratch = RefCell::default();
        Ok(Box::new(Connection { disk: disk()?, scratch, _observer: observer }))
    }

    fn get_size(&self) -> Result<i64> {
        Ok(shared::size())
    }

    fn can_multi_conn(&self) -> Result<bool> {
        Ok(true)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        write_what_was_kept(&self.disk);
        if fault("println") {
            println!("read {} bytes at {}", buf.len(), offset);
        }
        if fault("recovered") || fault("poison") || fault("double-panic") {
            return self.read_from_storage(buf, offset);
        }
        if fault("early-threads") {
            let (disk, count) = (self.disk.clone(), buf.len());
            buf.copy_from_slice(&thread::run(move || disk.lock()[place(offset, count)].to_vec())?);
        } else if fault("sync") {
            self.read_by_bounce(buf, offset);
        } else if fault("refcell") {
            self.read_by_scratch(buf, offset);
        } else {
            self.disk.read(buf, offset);
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64, _flags: Flags) -> Result<()> {
        write_what_was_kept(&self.disk);
        if fault("keep") {
            let kept = Kept { bytes: buf.as_ptr(), length: buf.len(), offset };
            *KEPT.lock().unwrap() = Some(kept);
        } else if fault("poison") || fault("double-panic") {
            self.disk.bytes.lock().unwrap()[place(offset, buf.len())].copy_from_slice(buf);
        } else {
            self.disk.write(buf, offset);
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        write_what_was_kept(&self.disk);
        Ok(())
    }

    fn unload() {
        shared::forget_disk();
        thread::stop();
    }
}

plugin!(Connection {
    config, thread_model, get_ready, can_multi_conn, write_at, flush, unload,
});
