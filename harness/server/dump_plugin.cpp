// nbdkit --dump-plugin PLUGIN ARGS: nbdkit-plugin(3) ".dump_plugin".
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

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

// In the order of nbdkit's own dump.
void list_fields(const PluginStruct& table, std::string& text) {
  const auto has = [&](std::string_view field, auto value) {
    if (value != nullptr) text += fmt::format("has_{}=1\n", field);
  };
#define NBDCHECK_HAS(field) has(#field, table.field)
  NBDCHECK_HAS(longname);
  NBDCHECK_HAS(description);
  NBDCHECK_HAS(load);
  NBDCHECK_HAS(unload);
  NBDCHECK_HAS(dump_plugin);
  NBDCHECK_HAS(config);
  NBDCHECK_HAS(config_complete);
  NBDCHECK_HAS(config_help);
  NBDCHECK_HAS(thread_model);
  NBDCHECK_HAS(get_ready);
  NBDCHECK_HAS(after_fork);
  NBDCHECK_HAS(cleanup);
  NBDCHECK_HAS(preconnect);
  NBDCHECK_HAS(list_exports);
  NBDCHECK_HAS(default_export);
  NBDCHECK_HAS(open);
  NBDCHECK_HAS(close);
  NBDCHECK_HAS(export_description);
  NBDCHECK_HAS(get_size);
  NBDCHECK_HAS(block_size);
  NBDCHECK_HAS(can_write);
  NBDCHECK_HAS(can_flush);
  NBDCHECK_HAS(is_rotational);
  NBDCHECK_HAS(can_trim);
  NBDCHECK_HAS(can_zero);
  NBDCHECK_HAS(can_fast_zero);
  NBDCHECK_HAS(can_extents);
  NBDCHECK_HAS(can_fua);
  NBDCHECK_HAS(can_multi_conn);
  NBDCHECK_HAS(can_cache);
  NBDCHECK_HAS(pread);
  NBDCHECK_HAS(pwrite);
  NBDCHECK_HAS(flush);
  NBDCHECK_HAS(trim);
  NBDCHECK_HAS(zero);
  NBDCHECK_HAS(extents);
  NBDCHECK_HAS(cache);
  NBDCHECK_HAS(_pread_v1);
  NBDCHECK_HAS(_pwrite_v1);
  NBDCHECK_HAS(_flush_v1);
  NBDCHECK_HAS(_trim_v1);
  NBDCHECK_HAS(_zero_v1);
#undef NBDCHECK_HAS
}

std::string describe(const Plugin& plugin, ThreadModel declared, ThreadModel model) {
  const PluginFacts& facts = plugin.facts();
  std::string text;
  const auto line = [&](std::string_view key, const auto& value) {
    text += fmt::format("{}={}\n", key, value);
  };
  std::error_code ignored;
  line("path", std::filesystem::weakly_canonical(facts.path, ignored).string());
  line("name", facts.name);
  if (!facts.version.empty()) line("version", facts.version);
  line("api_version", facts.api_version);
  line("struct_size", facts.struct_size);
  line("max_thread_model", name(declared));
  line("thread_model", name(model));
  line("errno_is_preserved", facts.errno_is_preserved ? 1 : 0);
  if (!facts.magic_config_key.empty()) line("magic_config_key", facts.magic_config_key);
  list_fields(plugin.callbacks(), text);
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
