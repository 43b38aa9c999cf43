#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "nbdcheck/plugin.hpp"
#include "plugin/temporary_directory.hpp"

namespace nbdcheck {
namespace {

using Kind = LoadFailure::Kind;

TEST(Resolve, ShortName) {
  TemporaryDirectory plugins;
  const std::string file = plugins.write("nbdkit-disk-plugin.so", "x");
  EXPECT_EQ(resolve_plugin("disk", plugins.path())->path, file);
  const auto missing = resolve_plugin("tape", plugins.path());
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().kind, Kind::not_found);
  EXPECT_NE(missing.error().message.find(plugins.path()), std::string::npos);
  EXPECT_EQ(resolve_plugin("", plugins.path()).error().kind, Kind::not_found);
}

TEST(Resolve, Path) {
  TemporaryDirectory plugins;
  const std::string file = plugins.write("disk", "x");
  EXPECT_EQ(resolve_plugin(file, "/nowhere")->path, file);
  EXPECT_EQ(resolve_plugin(plugins.path() + "/tape", "/nowhere").error().kind, Kind::not_found);
  EXPECT_EQ(resolve_plugin(plugins.path(), "/nowhere").error().kind, Kind::not_readable);
}

TEST(Resolve, ScriptComesBeforeTheLibrary) {
  TemporaryDirectory plugins;
  const std::string python = plugins.write("nbdkit-python-plugin.so", "x");
  plugins.write("nbdkit-disk-plugin.so", "x");
  for (const char* line : {"#!/usr/sbin/nbdkit python\n", "#! /usr/bin/env nbdkit python\nrest\n",
                           "#!/usr/bin/nbdkit python"}) {
    const std::string script = plugins.write("nbdkit-disk-plugin", line, true);
    const auto resolved = resolve_plugin("disk", plugins.path());
    ASSERT_TRUE(resolved.has_value()) << line;
    EXPECT_EQ(resolved->path, python);
    EXPECT_EQ(resolved->script, script);
  }
  plugins.write("nbdkit-disk-plugin", "#!/usr/sbin/nbdkit lua\n", true);
  EXPECT_EQ(resolve_plugin("disk", plugins.path()).error().kind, Kind::not_found);
  plugins.write("nbdkit-disk-plugin", "#!/bin/sh\n", true);
  EXPECT_EQ(resolve_plugin("disk", plugins.path()).error().kind, Kind::not_shared_object);
}

TEST(Resolve, ScriptThatIsNotExecutableIsPassedOver) {
  TemporaryDirectory plugins;
  plugins.write("nbdkit-disk-plugin", "#!/usr/sbin/nbdkit python\n");
  const std::string file = plugins.write("nbdkit-disk-plugin.so", "x");
  EXPECT_EQ(resolve_plugin("disk", plugins.path())->path, file);
}

// dlopen(3): without a slash the working directory is not searched.
TEST(Resolve, DotWithoutSlashIsSearchedOnTheLibraryPath) {
  TemporaryDirectory plugins;
  plugins.write("disk.so", "x");
  EXPECT_EQ(resolve_plugin("disk.so", plugins.path()).error().kind, Kind::not_found);
  setenv("LD_LIBRARY_PATH", ("/nowhere:" + plugins.path()).c_str(), 1);
  EXPECT_EQ(resolve_plugin("disk.so", "/nowhere")->path, plugins.path() + "/disk.so");
  unsetenv("LD_LIBRARY_PATH");
}

TEST(Resolve, DirectoryFromTheEnvironment) {
  setenv("NBDKIT_PLUGIN_DIR", "/some/where", 1);
  EXPECT_EQ(default_plugin_dir(), "/some/where");
  unsetenv("NBDKIT_PLUGIN_DIR");
  EXPECT_NE(default_plugin_dir(), "/some/where");
}

}  // namespace
}  // namespace nbdcheck
