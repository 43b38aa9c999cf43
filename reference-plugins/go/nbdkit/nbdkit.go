// Package nbdkit lets nbdkit plugins be written in Go.
//
// A plugin is a type with an Open method; what Open returns is a connection, a
// type with GetSize and PRead.  Everything else is optional: a type that has one
// of the methods named by the interfaces below is called there, and what it does
// not have is not announced to nbdkit's clients.  No C is needed:
//
//	package main
//
//	import "nbdcheck/nbdkit"
//
//	func init() { nbdkit.Register("name", &Plugin{}) }
//	func main() {}
//
// Build with `go build -buildmode=c-shared -o name.so`.
//
// Methods of a connection are called on many threads at once, unless the plugin
// has a ThreadModel method.  A method that panics fails with EIO and the message
// of the panic; a goroutine of the plugin's own that panics ends the server, as
// it does everywhere in Go.
package nbdkit

// Plugin is what Register takes.
type Plugin interface {
	// Open is called for each client, and again when the client asks for
	// information first.
	Open(readonly bool) (Connection, error)
}

// Connection is what Plugin.Open returns: one client.
type Connection interface {
	// GetSize is asked once, when the client comes.
	GetSize() (uint64, error)
	// PRead fills all of buf with the bytes at offset.  buf is C memory which is
	// valid until PRead returns: fill it, or let others fill it, but do not keep it.
	PRead(buf []byte, offset uint64, flags uint32) error
}

// Methods that a Plugin may have, one to an interface, in the order in which
// nbdkit calls them.  See nbdkit-plugin(3), "CALLBACKS".
type (
	// Loader: as soon as the plugin is loaded.
	Loader interface{ Load() }
	// Configurer: once for each key=value on the command line.
	Configurer interface {
		Config(key, value string) error
	}
	// ConfigCompleter: after the last of them.
	ConfigCompleter interface{ ConfigComplete() error }
	// ThreadModeler says how much may run at once; Parallel without it.
	ThreadModeler interface{ ThreadModel() (ThreadModel, error) }
	// GetReadier: before nbdkit forks into the background.  Goroutines that are
	// started up to here do not live in the server then.
	GetReadier interface{ GetReady() error }
	// AfterForker: the place to start goroutines.
	AfterForker interface{ AfterFork() error }
	// PreConnecter: a client has connected and said nothing yet.
	PreConnecter interface{ PreConnect(readonly bool) error }
	// ExportLister: a client asks for the names of the exports.
	ExportLister interface {
		ListExports(readonly, tls bool) ([]Export, error)
	}
	// DefaultExporter: the name that stands for "".
	DefaultExporter interface {
		DefaultExport(readonly, tls bool) (string, error)
	}
	// Cleaner: the last client has gone.  The place to stop goroutines.
	Cleaner interface{ Cleanup() }
	// Unloader: the last call of all.
	Unloader interface{ Unload() }
	// Dumper: nbdkit --dump-plugin; say DumpField.
	Dumper interface{ DumpPlugin() }
)

// Methods that a Connection may have.  Those that do work also decide what is
// announced: a connection with Flush can flush.  The Can methods, which are
// called once for a client, say it otherwise for this client.
type (
	Closer interface{ Close() }

	Writer interface {
		// PWrite keeps buf no longer than until it returns, and does not change it.
		PWrite(buf []byte, offset uint64, flags uint32) error
	}
	Flusher interface{ Flush(flags uint32) error }
	Trimmer interface {
		Trim(count uint32, offset uint64, flags uint32) error
	}
	Zeroer interface {
		Zero(count uint32, offset uint64, flags uint32) error
	}
	Cacher interface {
		Cache(count uint32, offset uint64, flags uint32) error
	}
	Extenter interface {
		Extents(count uint32, offset uint64, flags uint32, extents *Extents) error
	}

	CanWriter     interface{ CanWrite() (bool, error) }
	CanFlusher    interface{ CanFlush() (bool, error) }
	CanTrimmer    interface{ CanTrim() (bool, error) }
	CanZeroer     interface{ CanZero() (bool, error) }
	CanFastZeroer interface{ CanFastZero() (bool, error) }
	CanExtenter   interface{ CanExtents() (bool, error) }
	CanMultiConn  interface{ CanMultiConn() (bool, error) }
	Rotational    interface{ IsRotational() (bool, error) }
	// CanFUAer: without it a connection that can flush is flushed after a request
	// that asks for it, and one that cannot does not announce it.
	CanFUAer    interface{ CanFUA() (FUA, error) }
	CanCacheer  interface{ CanCache() (Cache, error) }
	BlockSizer  interface{ BlockSize() (BlockSize, error) }
	Description interface{ ExportDescription() (string, error) }
)

// ThreadModel, FUA and Cache are nbdkit's constants of these names.
type (
	ThreadModel int
	FUA         int
	Cache       int
)

const (
	SerializeConnections ThreadModel = iota
	SerializeAllRequests
	SerializeRequests
	Parallel
)

const (
	FUANone FUA = iota
	FUAEmulate
	FUANative
)

const (
	CacheNone Cache = iota
	CacheEmulate
	CacheNative
)

// Flags of requests.
const (
	FlagMayTrim  uint32 = 1 << iota // Zero: may leave a hole
	FlagFUA                         // be durable when it returns
	FlagReqOne                      // Extents: one is enough
	FlagFastZero                    // Zero: fail at once unless fast
)

// BlockSize is what a client is told; all zero: nothing.
type BlockSize struct{ Minimum, Preferred, Maximum uint32 }

// Export is an entry of Plugin.ListExports.
type Export struct{ Name, Description string }
