package nbdkit

/*
#include "glue.h"
*/
import "C"

import "unsafe"

// Callbacks of the plugin itself.  Those that are optional are registered only
// if the plugin has them.

//export goLoad
func goLoad() {
	status(func() error { registered.plugin.(Loader).Load(); return nil })
}

//export goUnload
func goUnload() {
	status(func() error { registered.plugin.(Unloader).Unload(); return nil })
}

//export goConfig
func goConfig(key, value *C.char) C.int {
	return status(func() error {
		return registered.plugin.(Configurer).Config(C.GoString(key), C.GoString(value))
	})
}

//export goConfigComplete
func goConfigComplete() C.int {
	return status(registered.plugin.(ConfigCompleter).ConfigComplete)
}

//export goGetReady
func goGetReady() C.int { return status(registered.plugin.(GetReadier).GetReady) }

//export goAfterFork
func goAfterFork() C.int { return status(registered.plugin.(AfterForker).AfterFork) }

//export goCleanup
func goCleanup() {
	status(func() error { registered.plugin.(Cleaner).Cleanup(); return nil })
}

//export goThreadModel
func goThreadModel() C.int { return choice(registered.plugin.(ThreadModeler).ThreadModel) }

//export goDumpPlugin
func goDumpPlugin() {
	status(func() error { registered.plugin.(Dumper).DumpPlugin(); return nil })
}

//export goPreConnect
func goPreConnect(readonly C.int) C.int {
	return status(func() error { return registered.plugin.(PreConnecter).PreConnect(readonly != 0) })
}

//export goListExports
func goListExports(readonly, tls C.int, exports *C.struct_nbdkit_exports) C.int {
	return status(func() error {
		list, err := registered.plugin.(ExportLister).ListExports(readonly != 0, tls != 0)
		if err != nil {
			return err
		}
		for _, export := range list {
			if err := addExport(exports, export); err != nil {
				return err
			}
		}
		return nil
	})
}

func addExport(exports *C.struct_nbdkit_exports, export Export) error {
	name := C.CString(export.Name)
	defer C.free(unsafe.Pointer(name))
	var description *C.char
	if export.Description != "" {
		description = C.CString(export.Description)
		defer C.free(unsafe.Pointer(description))
	}
	if result, err := C.nbdkit_add_export(exports, name, description); result != 0 {
		return reported{err}
	}
	return nil
}

//export goDefaultExport
func goDefaultExport(readonly, tls C.int) (result *C.char) {
	defer guard(&result, nil)
	name, err := registered.plugin.(DefaultExporter).DefaultExport(readonly != 0, tls != 0)
	if err != nil {
		fail(err)
		return nil
	}
	return intern(name)
}

// intern makes a string that nbdkit frees: it lives as long as the connection.
func intern(text string) *C.char {
	copied := C.CString(text)
	defer C.free(unsafe.Pointer(copied))
	return C.nbdkit_strdup_intern(copied)
}
