// nbdkit --dump-plugin PLUGIN ARGS: nbdkit-plugin(3) ".dump_plugin".
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "server/call.hpp"

namespace nbdcheck {
namespace {

// Collects what is written to descriptor 1, by whatever means, until it is
// taken or dies.
class CapturedStdout {
 public:
  CapturedStdout() : file_(std::tmpfile()), saved_(::dup(STDOUT_FILENO)) {
    std::fflush(stdout);
    if (file_ != nullptr) ::dup2(::fileno(file_), STDOUT_FILENO);
  }
  ~CapturedStdout() {
    restore();
    if (file_ != nullptr) std::fclose(file_);
  }
  CapturedStdout(const CapturedStdout&) = delete;
  CapturedStdout& operator=(const CapturedStdout&) = delete;

  std::string take() {
    restore();
    std::string text;
    if (file_ == nullptr) return text;
    std::rewind(file_);
    char buffer[4096];
    while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, file_)) {
      text.append(buffer, got);
    }
    return text;
  }

 private:
  void restore() {
    if (saved_ < 0) return;
    std::fflush(stdout);
    ::dup2(saved_, STDOUT_FILENO);
    ::close(saved_);
    saved_ = -1;
  }

  std::FILE* file_;
  int saved_;
};

std::string describe(const Plugin& plugin, ThreadModel declared, ThreadModel model) {
  const PluginFacts& facts = plugin.facts();
  std::string text;
  const auto line = [&](std::string_view key, const auto& value) {
    text += fmt::format("{}={}\n", key, value);
  };
  line("path", facts.path);
  line("name", facts.name);
  if (!facts.version.empty()) line("version", facts.version);
  line("api_version", facts.api_version);
  line("struct_size", facts.struct_size);
  line("max_thread_model", name(declared));
  line("thread_model", name(model));
  line("errno_is_preserved", facts.errno_is_preserved ? 1 : 0);
  if (!facts.magic_config_key.empty()) line("magic_config_key", facts.magic_config_key);
  for (const std::string& callback : facts.has) line("has_" + callback, 1);
  return text;
}

}  // namespace

tl::expected<std::string, Failure> Server::dump_plugin(std::span<const std::string> arguments) {
  Impl& self = *impl_;
  const ThreadModel declared = thread_model();
  if (auto done = config(arguments); !done) return tl::unexpected(std::move(done.error()));
  auto model = resolve_thread_model();
  if (!model) return tl::unexpected(std::move(model.error()));
  std::string text = describe(plugin(), declared, *model);
  if (self.table->dump_plugin != nullptr) {
    CapturedStdout capture;
    const ThreadScope scope(self);
    invoke(self, Callback::dump_plugin, [&] { self.table->dump_plugin(); });
    text += capture.take();
  }
  return text;
}

}  // namespace nbdcheck
