//! Flags and enumerations of the callbacks, with nbdkit's values.

use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not, Sub};

/// Flags of a request; see [`Server`](crate::Server) for who gets which.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flags {
    bits: u32,
}

impl Flags {
    /// `zero`: a hole will do, as long as it reads as zeroes.
    pub const MAY_TRIM: Flags = Flags { bits: 1 };
    /// `write_at`, `zero`, `trim`: return when it is on stable storage. Only seen where `can_fua`
    /// says [`FuaFlags::Native`].
    pub const FUA: Flags = Flags { bits: 2 };
    /// `extents`: the first extent is all that was asked for.
    pub const REQ_ONE: Flags = Flags { bits: 4 };
    /// `zero`: be faster than writing zeroes, or fail at once with
    /// [`EOPNOTSUPP`](crate::errno::EOPNOTSUPP).
    pub const FAST_ZERO: Flags = Flags { bits: 8 };

    /// No flag.
    pub const fn empty() -> Flags {
        Flags { bits: 0 }
    }
    /// Every flag there is.
    pub const fn all() -> Flags {
        Flags { bits: 15 }
    }
    /// The number nbdkit uses.
    pub const fn bits(&self) -> u32 {
        self.bits
    }
    /// None, when a bit is not known.
    pub const fn from_bits(bits: u32) -> Option<Flags> {
        if bits & !Flags::all().bits == 0 {
            Some(Flags { bits })
        } else {
            None
        }
    }
    /// Without the bits that are not known.
    pub const fn from_bits_truncate(bits: u32) -> Flags {
        Flags { bits: bits & Flags::all().bits }
    }
    /// Is no flag set?
    pub const fn is_empty(&self) -> bool {
        self.bits == 0
    }
    /// Are all flags set?
    pub const fn is_all(&self) -> bool {
        self.bits == Flags::all().bits
    }
    /// Are all of `other` set?
    pub const fn contains(&self, other: Flags) -> bool {
        self.bits & other.bits == other.bits
    }
    /// Is one of `other` set?
    pub const fn intersects(&self, other: Flags) -> bool {
        self.bits & other.bits != 0
    }
    /// Sets all of `other`.
    pub fn insert(&mut self, other: Flags) {
        self.bits |= other.bits;
    }
    /// Clears all of `other`.
    pub fn remove(&mut self, other: Flags) {
        self.bits &= !other.bits;
    }
    /// Changes each of `other`.
    pub fn toggle(&mut self, other: Flags) {
        self.bits ^= other.bits;
    }
    /// Sets or clears all of `other`.
    pub fn set(&mut self, other: Flags, value: bool) {
        if value {
            self.insert(other)
        } else {
            self.remove(other)
        }
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags { bits: self.bits | other.bits }
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.bits |= other.bits;
    }
}

impl BitAnd for Flags {
    type Output = Flags;
    fn bitand(self, other: Flags) -> Flags {
        Flags { bits: self.bits & other.bits }
    }
}

impl BitAndAssign for Flags {
    fn bitand_assign(&mut self, other: Flags) {
        self.bits &= other.bits;
    }
}

impl Sub for Flags {
    type Output = Flags;
    fn sub(self, other: Flags) -> Flags {
        Flags { bits: self.bits & !other.bits }
    }
}

impl Not for Flags {
    type Output = Flags;
    fn not(self) -> Flags {
        Flags::all() - self
    }
}

/// What [`Server::can_cache`](crate::Server::can_cache) answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum CacheFlags {
    /// Cache requests are not offered.
    None = 0,
    /// The server reads the range and throws it away.
    Emulate = 1,
    /// `cache` is called.
    Native = 2,
}

/// What [`Server::can_fua`](crate::Server::can_fua) answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum FuaFlags {
    /// FUA is not offered.
    None = 0,
    /// The server calls `flush` after the request: it must be there and work, whatever `can_flush`
    /// says.
    Emulate = 1,
    /// The callbacks get [`Flags::FUA`].
    Native = 2,
}

/// Which calls may happen at the same time (nbdkit-plugin(3), "Threads").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum ThreadModel {
    /// One connection at a time.
    SerializeConnections = 0,
    /// Many connections, one request at a time.
    SerializeAllRequests = 1,
    /// One request at a time for each connection; those of two may overlap.
    SerializeRequests = 2,
    /// Everything may overlap, requests of one connection too.
    Parallel = 3,
}

/// A kind of extent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum ExtentType {
    /// Data.
    Allocated = 0,
    /// A hole of which it is not known how it reads.
    Hole = 1,
    /// Allocated, and reads as zeroes.
    Zero = 2,
    /// A hole that reads as zeroes: the usual one.
    HoleZero = 3,
}

/// What [`Server::block_size`](crate::Server::block_size) answers; all 0: it does not matter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BlockSize {
    /// A power of 2, at most 64 KiB.
    pub minimum: u32,
    /// A power of 2 from 512 to 32 MiB.
    pub preferred: u32,
    /// `u32::MAX`, or a multiple of the minimum.
    pub maximum: u32,
}

impl From<CacheFlags> for i32 {
    fn from(flags: CacheFlags) -> i32 {
        flags as i32
    }
}

impl From<FuaFlags> for i32 {
    fn from(flags: FuaFlags) -> i32 {
        flags as i32
    }
}
