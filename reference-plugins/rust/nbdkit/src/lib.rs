//! Write [nbdkit](https://gitlab.com/nbdkit/nbdkit) plugins in Rust.
//!
//! Implement [`Server`] for the type that stands for one connection, and name the optional
//! callbacks that it has in [`plugin!`]:
//!
//! ```
//! use nbdkit::*;
//!
//! struct Zeroes;
//!
//! impl Server for Zeroes {
//!     fn name() -> &'static str {
//!         "zeroes"
//!     }
//!     fn open(_readonly: bool) -> Result<Box<dyn Server>> {
//!         Ok(Box::new(Zeroes))
//!     }
//!     fn get_size(&self) -> Result<i64> {
//!         Ok(1 << 20)
//!     }
//!     fn read_at(&self, buf: &mut [u8], _offset: u64) -> Result<()> {
//!         buf.fill(0);
//!         Ok(())
//!     }
//! }
//!
//! plugin!(Zeroes {});
//! ```
//!
//! What the binding sees to:
//!
//! * Nothing unwinds into the server. A callback that panics has failed with EIO and a message,
//!   a `Drop` that panics too, and the next request is served.
//! * Each failure has a message of one line, and a positive errno.
//! * A callback that is not named in [`plugin!`] is not registered, so that nbdkit falls back
//!   on what it does without it (nbdkit-plugin(3)).
//! * It needs nothing but the standard library, and no newer nbdkit than the callbacks that are
//!   named: functions that older servers lack are looked up when they are called.
//!
//! What it cannot see to: [`ThreadModel::Parallel`] is the default, and a [`Server`] is then used
//! by several threads at once, though the trait does not ask for `Sync` (plugins for the other
//! thread models need not be). Let the compiler check it:
//!
//! ```
//! # struct MyPlugin;
//! const _: fn() = || {
//!     fn shared_by_threads<T: Send + Sync>() {}
//!     shared_by_threads::<MyPlugin>();
//! };
//! ```
#![deny(missing_docs)]

#[cfg(panic = "abort")]
compile_error!("with panic = \"abort\" every panic would end the server: remove it from the profile");

mod api;
mod callbacks;
pub mod errno;
mod error;
mod ffi;
mod flags;
mod lists;
mod plugin;
mod server;

pub use api::*;
pub use error::{Error, Result};
pub use flags::{BlockSize, CacheFlags, ExtentType, Flags, FuaFlags, ThreadModel};
pub use lists::{ExportList, ExtentHandle};
#[doc(hidden)]
pub use plugin::{register, Builder, Plugin};
pub use server::Server;
