// `cargo test` runs nbdcheck on the plugin, which is target/debug/lib*.so where
// the crate is a cdylib; PLUGIN names it here.
use std::process::Command;

#[test]
fn the_plugin_keeps_its_contract() {
    let plugin = std::env::var("PLUGIN").expect("PLUGIN is the plugin's file");
    let done = Command::new("nbdcheck")
        .args(["--profile=quick", "--color=never", &plugin, "size=64K"])
        .output()
        .expect("nbdcheck is in PATH");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}
