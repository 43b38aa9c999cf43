package consumer

import (
	"os"
	"os/exec"
	"testing"
)

// `go test` runs nbdcheck on the plugin, built before by
// `go build -buildmode=c-shared`; PLUGIN names it here.
func TestThePluginKeepsItsContract(t *testing.T) {
	plugin := os.Getenv("PLUGIN")
	if plugin == "" {
		t.Fatal("PLUGIN is the plugin's file")
	}
	out, err := exec.Command("nbdcheck", "--profile=quick", "--color=never", plugin, "size=64K").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
