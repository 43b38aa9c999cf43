// From plugin_init to .unload, in nbdkit's order: nbdkit-plugin(3) "Callback
// lifecycle".
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "server/call.hpp"
#include "server/debug_flags.hpp"

namespace nbdcheck {
namespace {

void redirect_to_null(int descriptor, int flags) {
  const int null = ::open("/dev/null", flags | O_CLOEXEC);
  if (null < 0) return;
  ::dup2(null, descriptor);
  if (null != descriptor) ::close(null);
}

std::optional<LoadFailure> check_options(const ServerOptions& options) {
  for (const std::string& flag : options.debug_flags) {
    if (valid_debug_flag(flag)) continue;
    return LoadFailure{LoadFailure::Kind::bad_debug_flag,
                       fmt::format("-D {}: expected NAME.FLAG=N", flag)};
  }
  if (current_host() != nullptr) {
    return LoadFailure{LoadFailure::Kind::dlopen_failed,
                       "another server of this process still holds its plugin"};
  }
  return std::nullopt;
}

ThreadModel clamp_model(int value) {
  return static_cast<ThreadModel>(std::clamp(value, 0, static_cast<int>(ThreadModel::parallel)));
}

}  // namespace

Server::Impl::Impl(ServerOptions server_options, Observer& server_observer)
    : options(std::move(server_options)), observer(server_observer), trace(options.trace) {
  // nbdkit runs with this umask from before the plugin is loaded; only a
  // process that is ours alone may have its umask changed.
  if (options.redirect_stdio) ::umask(022);
  set_current_host(this);
}

Server::Impl::~Impl() {
  loaded_plugin.reset();
  set_current_host(nullptr);
}

Failure Server::Impl::failure(Callback callback, std::string_view what) {
  Failure result{.where = callback,
                 .message = std::string(what),
                 .plugin_said_why = said_why(),
                 .error = this_thread.returned_errno};
  if (this_thread.said_why) {
    result.message += ": " + last_error_text();
  } else if (!result.plugin_said_why) {
    report(IncidentKind::no_error_message, callback,
           fmt::format("{}, but nbdkit_error was not called: nobody will know why", what));
  }
  return result;
}

bool Server::Impl::succeeded(Callback callback, int value) {
  if (value == -1) return false;
  if (value != 0) {
    report(IncidentKind::return_value, callback,
           fmt::format(".{} returned {}: only 0 and -1 have a meaning, nbdkit takes it as success",
                       name(callback), value));
  }
  return true;
}

tl::unexpected<Failure> Server::Impl::fail(Failure failure) {
  stage = Stage::failed;
  return tl::unexpected(std::move(failure));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

template <typename LoadPlugin>
static tl::expected<std::unique_ptr<Server::Impl>, LoadFailure> load_with(
    ServerOptions options, Observer& observer, LoadPlugin&& load_plugin) {
  if (auto bad = check_options(options)) return tl::unexpected(std::move(*bad));
  auto impl = std::make_unique<Server::Impl>(std::move(options), observer);
  const ThreadScope scope(*impl);
  tl::expected<Plugin, LoadFailure> plugin = load_plugin(impl->options);
  if (!plugin) return tl::unexpected(std::move(plugin.error()));
  impl->loaded_plugin.emplace(std::move(*plugin));
  impl->table = &impl->loaded_plugin->callbacks();
  impl->apply_debug_flags();
  if (impl->table->load != nullptr) {
    invoke(*impl, Callback::load, [&] { impl->table->load(); });
  }
  return impl;
}

tl::expected<std::unique_ptr<Server>, LoadFailure> Server::load(const std::string& plugin,
                                                                ServerOptions options,
                                                                Observer& observer) {
  auto resolved = resolve_plugin(plugin, options.plugin_dir);
  if (!resolved) return tl::unexpected(std::move(resolved.error()));
  auto impl = load_with(std::move(options), observer, [&](const ServerOptions& final_options) {
    return Plugin::load(resolved->path, observer, final_options.host_struct_size);
  });
  if (!impl) return tl::unexpected(std::move(impl.error()));
  (*impl)->script = std::move(resolved->script);
  return std::unique_ptr<Server>(new Server(std::move(*impl)));
}

tl::expected<std::unique_ptr<Server>, LoadFailure> Server::adopt(Plugin::InitFunction plugin_init,
                                                                 ServerOptions options,
                                                                 Observer& observer) {
  auto impl = load_with(std::move(options), observer, [&](const ServerOptions& final_options) {
    return Plugin::adopt(plugin_init, observer, final_options.host_struct_size);
  });
  if (!impl) return tl::unexpected(std::move(impl.error()));
  return std::unique_ptr<Server>(new Server(std::move(*impl)));
}

// Whatever stage it reached, the plugin sees the end that nbdkit would give it:
// after a failure, none at all.
Server::~Server() {
  if (impl_->stage == Impl::Stage::serving) cleanup();
  unload();
}

const Plugin& Server::plugin() const { return *impl_->loaded_plugin; }
const ServerOptions& Server::options() const { return impl_->options; }

tl::expected<void, Failure> Server::configure(std::span<const std::string> arguments) {
  if (auto done = config(arguments); !done) return done;
  if (auto done = config_complete(); !done) return done;
  if (auto model = resolve_thread_model(); !model) return tl::unexpected(std::move(model.error()));
  return {};
}

tl::expected<void, Failure> Server::config_complete() {
  Impl& self = *impl_;
  if (!self.script.empty()) {
    if (auto given = config({}); !given) return given;
  }
  if (self.table->config_complete != nullptr) {
    const ThreadScope scope(self);
    const int result =
        invoke(self, Callback::config_complete, [&] { return self.table->config_complete(); });
    const bool ok = self.succeeded(Callback::config_complete, result);
    self.check_parameters(Callback::config_complete);
    if (!ok) {
      return self.fail(self.failure(Callback::config_complete, ".config_complete returned -1"));
    }
  }
  self.stage = Impl::Stage::complete;
  return {};
}

// The smaller of the two wins.  Outside 0..3 nbdkit stops on an assertion, save
// for a too large value of the callback.
tl::expected<ThreadModel, Failure> Server::resolve_thread_model() {
  Impl& self = *impl_;
  if (self.thread_model_resolved) return self.gate.model();
  const int declared = self.table->_thread_model;
  ThreadModel model = clamp_model(declared);
  if (static_cast<int>(model) != declared) {
    self.report(IncidentKind::thread_model_value, Callback::thread_model,
                fmt::format("THREAD_MODEL is {}, not one of 0 to 3", declared));
  }
  if (self.table->thread_model != nullptr) {
    const ThreadScope scope(self);
    const int value =
        invoke(self, Callback::thread_model, [&] { return self.table->thread_model(); });
    if (value == -1) {
      return self.fail(self.failure(Callback::thread_model, ".thread_model returned -1"));
    }
    if (static_cast<int>(clamp_model(value)) != value) {
      self.report(IncidentKind::thread_model_value, Callback::thread_model,
                  fmt::format(".thread_model returned {}, not one of -1 to 3", value));
    }
    model = std::min(model, clamp_model(value));
  }
  self.gate.set_model(model);
  self.thread_model_resolved = true;
  return model;
}

ThreadModel Server::thread_model() const {
  return impl_->thread_model_resolved ? impl_->gate.model()
                                      : clamp_model(impl_->table->_thread_model);
}

tl::expected<void, Failure> Server::get_ready() {
  Impl& self = *impl_;
  if (auto model = resolve_thread_model(); !model) return tl::unexpected(std::move(model.error()));
  if (self.table->get_ready != nullptr) {
    const ThreadScope scope(self);
    const int result = invoke(self, Callback::get_ready, [&] { return self.table->get_ready(); });
    const bool ok = self.succeeded(Callback::get_ready, result);
    self.check_parameters(Callback::get_ready);
    if (!ok) return self.fail(self.failure(Callback::get_ready, ".get_ready returned -1"));
  }
  self.stage = Impl::Stage::ready;
  return {};
}

tl::expected<void, Failure> Server::after_fork() {
  Impl& self = *impl_;
  if (self.options.redirect_stdio) {
    std::fflush(nullptr);
    redirect_to_null(STDIN_FILENO, O_RDONLY);
    redirect_to_null(STDOUT_FILENO, O_WRONLY);
    std::signal(SIGPIPE, SIG_IGN);
  }
  self.serving = true;
  if (self.table->after_fork != nullptr) {
    const ThreadScope scope(self);
    const int result = invoke(self, Callback::after_fork, [&] { return self.table->after_fork(); });
    if (!self.succeeded(Callback::after_fork, result)) {
      return self.fail(self.failure(Callback::after_fork, ".after_fork returned -1"));
    }
  }
  self.stage = Impl::Stage::serving;
  return {};
}

tl::expected<void, Failure> Server::start() {
  if (auto done = get_ready(); !done) return done;
  return after_fork();
}

void Server::shutdown() { impl_->shutdown(); }
bool Server::shutting_down() const { return impl_->quit; }

void Server::cleanup() {
  Impl& self = *impl_;
  if (self.stage != Impl::Stage::serving) return;
  self.stage = Impl::Stage::cleaned_up;
  if (self.table->cleanup == nullptr) return;
  const ThreadScope scope(self);
  invoke(self, Callback::cleanup, [&] { self.table->cleanup(); });
}

void Server::unload() {
  Impl& self = *impl_;
  if (self.stage == Impl::Stage::unloaded) return;
  if (self.stage != Impl::Stage::failed && self.table->unload != nullptr) {
    const ThreadScope scope(self);
    invoke(self, Callback::unload, [&] { self.table->unload(); });
  }
  self.check_parameters(Callback::unload);
  self.stage = Impl::Stage::unloaded;
  self.loaded_plugin->close();
  // The nbdkit_* functions do not need this server any more.
  set_current_host(nullptr);
}

void Server::stop() {
  cleanup();
  unload();
}

}  // namespace nbdcheck
