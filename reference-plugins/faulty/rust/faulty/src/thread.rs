//! One thread that does what it is told.

use nbdkit::*;
use std::sync::mpsc::{channel, Sender};
use std::sync::Mutex;
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

static THREAD: Mutex<Option<(Sender<Job>, JoinHandle<()>)>> = Mutex::new(None);

pub fn start() -> Result<()> {
    let (sender, receiver) = channel::<Job>();
    let thread = std::thread::Builder::new().spawn(move || receiver.iter().for_each(|job| job()))?;
    *THREAD.lock().unwrap() = Some((sender, thread));
    Ok(())
}

pub fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let sender = THREAD.lock().unwrap().as_ref().map(|(sender, _)| sender.clone());
    let (answer, answered) = channel();
    let job: Job = Box::new(move || drop(answer.send(job())));
    let sent = sender.map(|sender| sender.send(job));
    match (sent, answered.recv()) {
        (Some(Ok(())), Ok(value)) => Ok(value),
        _ => Err(Error::new(errno::EIO, "the thread has ended")),
    }
}

pub fn stop() {
    if let Some((sender, thread)) = THREAD.lock().unwrap().take() {
        drop(sender);
        drop(thread.join());
    }
}
