package nbdkit

/*
// The nbdkit functions come from the server that loads the plugin.
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-in-object-files
#include "glue.h"
*/
import "C"

import "sync"

// Options of a plugin: what nbdkit PLUGIN --help and --dump-plugin print.
type Options struct {
	LongName       string
	Version        string
	Description    string
	ConfigHelp     string
	MagicConfigKey string // the key of a parameter that has none
}

var registered struct {
	name    string
	plugin  Plugin
	options Options
	once    sync.Once
	result  *C.struct_nbdkit_plugin
}

// Register names the plugin.  To be called by an init function: nbdkit asks as
// soon as the object is loaded.
func Register(name string, plugin Plugin, options ...Options) {
	registered.name = name
	registered.plugin = plugin
	if len(options) > 0 {
		registered.options = options[0]
	}
}

// The runtime is started by a thread of its own when the object is loaded, and a
// call from C waits until all init functions have run: Register was called.
//
//export plugin_init
func plugin_init() *C.struct_nbdkit_plugin {
	if registered.plugin == nil {
		logError("no init function has called nbdkit.Register")
		return nil
	}
	registered.once.Do(func() {
		s := C.glue_plugin(callbacks(registered.plugin))
		s.name = C.CString(registered.name)
		set := func(field **C.char, text string) {
			if text != "" {
				*field = C.CString(text)
			}
		}
		o := &registered.options
		set(&s.longname, o.LongName)
		set(&s.version, o.Version)
		set(&s.description, o.Description)
		set(&s.config_help, o.ConfigHelp)
		set(&s.magic_config_key, o.MagicConfigKey)
		registered.result = s
	})
	return registered.result
}

func callbacks(plugin Plugin) C.uint32_t {
	var bits C.uint32_t
	use := func(has bool, bit C.uint32_t) {
		if has {
			bits |= bit
		}
	}
	_, has := plugin.(Loader)
	use(has, C.GLUE_LOAD)
	_, has = plugin.(Unloader)
	use(has, C.GLUE_UNLOAD)
	_, has = plugin.(Configurer)
	use(has, C.GLUE_CONFIG)
	_, has = plugin.(ConfigCompleter)
	use(has, C.GLUE_CONFIG_COMPLETE)
	_, has = plugin.(GetReadier)
	use(has, C.GLUE_GET_READY)
	_, has = plugin.(AfterForker)
	use(has, C.GLUE_AFTER_FORK)
	_, has = plugin.(Cleaner)
	use(has, C.GLUE_CLEANUP)
	_, has = plugin.(PreConnecter)
	use(has, C.GLUE_PRECONNECT)
	_, has = plugin.(ExportLister)
	use(has, C.GLUE_LIST_EXPORTS)
	_, has = plugin.(DefaultExporter)
	use(has, C.GLUE_DEFAULT_EXPORT)
	_, has = plugin.(ThreadModeler)
	use(has, C.GLUE_THREAD_MODEL)
	_, has = plugin.(Dumper)
	use(has, C.GLUE_DUMP_PLUGIN)
	return bits
}
