// The plugin file named on the command line: found, and seen to be one.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace nbdcheck {

struct SubjectFile {
  std::string name;                           // what to hand to Server::load
  std::string path;                           // the file itself
  std::string sha256;                         // by Setup::make: of a large file it takes time
  std::vector<std::string> arguments_before;  // the script, for a script plugin
};

// The error is one line; it means there is no plugin to check (exit code 2).
// What is a plugin but a broken one is not an error here.
tl::expected<SubjectFile, std::string> find_subject_file(const std::string& plugin);

}  // namespace nbdcheck
