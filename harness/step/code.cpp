#include "nbdcheck/code.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "plugin/objects.hpp"
#include "sandbox/base_name.hpp"

namespace nbdcheck {
namespace {

// What was there when this program started is not the plugin's.
const std::vector<ObjectExtent> objects_at_start = objects_in_memory();

bool is_systems(std::string_view path) {
  constexpr std::array<std::string_view, 6> directories{"/lib/",   "/lib64/",     "/usr/lib/",
                                                        "/lib32/", "/usr/lib64/", "/usr/libexec/"};
  return std::any_of(directories.begin(), directories.end(),
                     [path](std::string_view start) { return path.starts_with(start); });
}

struct Search {
  std::uint64_t address;
  std::vector<CodeObject> objects;
};

int note_object(dl_phdr_info* info, std::size_t, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  CodeObject object;
  object.path = info->dlpi_name != nullptr ? info->dlpi_name : "";
  object.base = info->dlpi_addr;
  bool is_plugin = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    const std::uint64_t begin = info->dlpi_addr + header.p_vaddr;
    const CodeRange range{begin, begin + header.p_memsz};
    is_plugin = is_plugin || (search.address >= range.begin && search.address < range.end);
    object.begin = object.end == 0 ? range.begin : std::min(object.begin, range.begin);
    object.end = std::max(object.end, range.end);
    if ((header.p_flags & PF_X) != 0) object.ranges.push_back(range);
  }
  const bool was_there =
      std::ranges::find(objects_at_start, ObjectExtent{object.begin, object.end}) !=
      objects_at_start.end();
  if (is_plugin)
    search.objects.insert(search.objects.begin(), std::move(object));
  else if (!was_there && !is_systems(object.path))
    search.objects.push_back(std::move(object));
  return 0;
}

// An ELF file that is open for reading.
class ElfFile {
 public:
  explicit ElfFile(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    ::elf_version(EV_CURRENT);
    if (fd_ >= 0) elf_ = ::elf_begin(fd_, ELF_C_READ, nullptr);
  }
  ~ElfFile() {
    if (elf_ != nullptr) ::elf_end(elf_);
    if (fd_ >= 0) ::close(fd_);
  }
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  [[nodiscard]] bool has_section(std::string_view wanted) const {
    std::size_t names = 0;
    if (elf_ == nullptr || ::elf_getshdrstrndx(elf_, &names) != 0) return false;
    for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(elf_, section)) != nullptr;) {
      GElf_Shdr header;
      if (::gelf_getshdr(section, &header) == nullptr) continue;
      const char* name = ::elf_strptr(elf_, names, header.sh_name);
      if (name != nullptr && wanted == name) return true;
    }
    return false;
  }

  [[nodiscard]] std::vector<std::string> needed() const {
    std::vector<std::string> result;
    if (elf_ == nullptr) return result;
    for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(elf_, section)) != nullptr;) {
      GElf_Shdr header;
      if (::gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_DYNAMIC) continue;
      Elf_Data* data = ::elf_getdata(section, nullptr);
      GElf_Dyn entry;
      for (int i = 0; data != nullptr && ::gelf_getdyn(data, i, &entry) != nullptr; ++i) {
        if (entry.d_tag != DT_NEEDED) continue;
        const char* name = ::elf_strptr(elf_, header.sh_link, entry.d_un.d_val);
        if (name != nullptr) result.emplace_back(name);
      }
    }
    return result;
  }

 private:
  int fd_;
  Elf* elf_ = nullptr;
};

}  // namespace

Code Code::of_plugin(const void* address) {
  Search search{reinterpret_cast<std::uint64_t>(address), {}};
  ::dl_iterate_phdr(note_object, &search);
  Code code;
  code.objects_ = std::move(search.objects);
  for (const CodeObject& object : code.objects_)
    code.ranges_.insert(code.ranges_.end(), object.ranges.begin(), object.ranges.end());
  return code;
}

std::string Code::place(std::uint64_t address) const {
  for (const CodeObject& object : objects_) {
    for (const CodeRange& range : object.ranges) {
      if (address < range.begin || address >= range.end) continue;
      std::string where = fmt::format("{}+{:#x}", base_name(object.path), address - object.base);
      Dl_info info{};
      if (::dladdr(reinterpret_cast<const void*>(address), &info) == 0 || info.dli_sname == nullptr)
        return where;
      return fmt::format("{}+{:#x} ({})", info.dli_sname,
                         address - reinterpret_cast<std::uint64_t>(info.dli_saddr), where);
    }
  }
  return fmt::format("{:#x}", address);
}

std::string Code::opaque() const {
  if (objects_.empty()) return "its code was not found";
  const ElfFile file(objects_.front().path);
  if (file.has_section(".go.buildinfo")) return "a Go program moves between threads by itself";
  constexpr std::array<std::string_view, 6> interpreters{"libpython", "libperl", "libruby",
                                                         "liblua",    "libtcl",  "libguile"};
  for (const std::string& library : file.needed())
    for (const std::string_view interpreter : interpreters)
      if (library.starts_with(interpreter)) return "what it does is in a script, run by " + library;
  return "";
}

}  // namespace nbdcheck
