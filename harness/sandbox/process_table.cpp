#include "sandbox/process_table.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>
#include <string_view>

#include "sandbox/descriptor.hpp"

namespace nbdcheck::sandbox {
namespace {

std::string proc_path(pid_t pid, const char* file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

std::string read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!file.valid()) return text;
  std::array<char, 8192> buffer{};
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

// Fields of /proc/PID/stat from the third on, which follow the name in
// parentheses (the name itself may contain blanks and parentheses).
class Fields {
 public:
  explicit Fields(std::string_view rest) : rest_(rest) {}
  std::string_view next() {
    rest_.remove_prefix(std::min(rest_.size(), rest_.find_first_not_of(' ')));
    const std::size_t end = std::min(rest_.size(), rest_.find(' '));
    const std::string_view field = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return field;
  }
  template <typename T>
  T number() {
    T value{};
    const std::string_view text = next();
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  void skip(int count) {
    while (count-- > 0) next();
  }

 private:
  std::string_view rest_;
};

}  // namespace

ProcessFacts process_facts(pid_t pid) {
  ProcessFacts facts;
  const std::string text = read_file(proc_path(pid, "stat"));
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return facts;
  Fields fields(std::string_view(text).substr(name_end + 1));
  facts.pid = pid;
  facts.state = fields.next().substr(0, 1).empty() ? '?' : text[name_end + 2];
  facts.parent = fields.number<pid_t>();
  facts.group = fields.number<pid_t>();
  facts.session = fields.number<pid_t>();
  fields.skip(7);                // tty ... cmajflt
  for (int i = 0; i < 4; ++i) {  // user and system, the same of its children
    const auto ticks = fields.number<std::uint64_t>();
    facts.processor += ticks;
    if (i % 2 == 0) facts.own_code += ticks;
  }
  fields.skip(4);  // priority ... itrealvalue
  facts.start = fields.number<std::uint64_t>();
  fields.skip(1);  // vsize
  static const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  facts.memory = fields.number<std::uint64_t>() * page_size;
  return facts;
}

bool waits_for_disk(pid_t pid) {
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> tasks(::opendir(proc_path(pid, "task").c_str()),
                                                    close);
  while (const dirent* entry = tasks ? ::readdir(tasks.get()) : nullptr) {
    if (entry->d_name[0] == '.') continue;
    const std::string text = read_file(proc_path(pid, "task/") + entry->d_name + "/stat");
    const std::size_t name_end = text.rfind(')');
    if (name_end != std::string::npos && text.substr(name_end + 1, 2) == " D") return true;
  }
  return false;
}

std::map<pid_t, ProcessFacts> process_table() {
  std::map<pid_t, ProcessFacts> table;
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> proc(::opendir("/proc"), close);
  if (!proc) return table;
  while (const dirent* entry = ::readdir(proc.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc{} || end != name.data() + name.size()) continue;
    if (const ProcessFacts facts = process_facts(pid); facts.pid != 0) table.emplace(pid, facts);
  }
  return table;
}

std::string environment_of(pid_t pid, const std::string& variable) {
  const std::string text = read_file(proc_path(pid, "environ"));
  const std::string wanted = variable + "=";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.size(), text.find('\0', at));
    const std::string_view entry = std::string_view(text).substr(at, end - at);
    if (entry.starts_with(wanted)) return std::string(entry.substr(wanted.size()));
    at = end + 1;
  }
  return {};
}

std::string executable_of(pid_t pid) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlink(proc_path(pid, "exe").c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : std::string();
}

FileIdentity executable_identity(pid_t pid) {
  struct stat facts {};
  if (::stat(proc_path(pid, "exe").c_str(), &facts) != 0) return {};
  return {facts.st_dev, facts.st_ino};
}

}  // namespace nbdcheck::sandbox
