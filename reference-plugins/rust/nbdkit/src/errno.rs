//! The errors that mean something to an NBD client. All others reach it as EINVAL (NBD protocol,
//! "Error values"). The numbers are Linux's.

/// Not permitted.
pub const EPERM: i32 = 1;
/// The storage failed.
pub const EIO: i32 = 5;
/// Out of memory.
pub const ENOMEM: i32 = 12;
/// A request that makes no sense.
pub const EINVAL: i32 = 22;
/// No space left.
pub const ENOSPC: i32 = 28;
/// Read-only; clients see EPERM.
pub const EROFS: i32 = 30;
/// For [`Server::zero`](crate::Server::zero) only: please write the zeroes instead.
pub const EOPNOTSUPP: i32 = 95;
/// On Linux the same as [`EOPNOTSUPP`].
pub const ENOTSUP: i32 = EOPNOTSUPP;
/// The server is shutting down.
pub const ESHUTDOWN: i32 = 108;
