// Facts about a plugin file that can be had without running its code.  The file
// may be anything at all, so nothing in it is believed before it is checked;
// libelf checks the bounds of what it hands out.
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "nbdcheck/plugin.hpp"
#include "plugin/file_check.hpp"

namespace nbdcheck {
namespace {

using Kind = LoadFailure::Kind;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

struct EndElf {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfFile = std::unique_ptr<Elf, EndElf>;

// The processor this program was compiled for.
constexpr int own_machine =
#if defined(__x86_64__)
    EM_X86_64;
#elif defined(__aarch64__)
    EM_AARCH64;
#elif defined(__powerpc64__)
    EM_PPC64;
#elif defined(__riscv)
    EM_RISCV;
#elif defined(__s390x__)
    EM_S390;
#else
    EM_NONE;
#endif

LoadFailure no_plugin(Kind kind, const std::string& path, const std::string& why) {
  return {kind, path + ": " + why};
}

LoadFailure not_elf(const std::string& path, int fd) {
  std::array<char, 2> start{};
  const ssize_t got = pread(fd, start.data(), start.size(), 0);
  if (got == 0) return no_plugin(Kind::not_shared_object, path, "is empty");
  if (got == 2 && start[0] == '#' && start[1] == '!') {
    return no_plugin(Kind::not_shared_object, path,
                     "is a script; name the language's plugin and give the script as its first "
                     "argument, as in \"python " +
                         path + "\"");
  }
  return no_plugin(Kind::not_shared_object, path, "is not a shared object (not an ELF file)");
}

const char* string_at(Elf* elf, std::size_t table, std::size_t offset) {
  const char* text = elf_strptr(elf, table, offset);
  return text == nullptr ? "" : text;
}

void read_symbols(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, ElfFacts& facts) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || header.sh_entsize == 0) return;
  const auto count =
      static_cast<int>(std::min<std::uint64_t>(data->d_size / header.sh_entsize, 0x7fffffff));
  for (int i = 1; i < count; ++i) {  // 0 is the null symbol
    GElf_Sym symbol{};
    if (gelf_getsym(data, i, &symbol) == nullptr) return;
    const unsigned binding = GELF_ST_BIND(symbol.st_info);
    if (binding == STB_LOCAL) continue;
    const std::string name = string_at(elf, header.sh_link, symbol.st_name);
    if (name.empty()) continue;
    if (symbol.st_shndx != SHN_UNDEF) {
      facts.defined.push_back(name);
    } else if (binding != STB_WEAK) {
      facts.undefined.push_back(name);
    }
  }
}

// What the dynamic section says beyond the lists in ElfFacts.
struct Dynamic {
  bool present = false;
  bool position_independent_executable = false;
};

void read_dynamic(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, ElfFacts& facts,
                  Dynamic& dynamic) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr) return;
  dynamic.present = true;
  GElf_Dyn entry{};
  for (int i = 0; gelf_getdyn(data, i, &entry) != nullptr && entry.d_tag != DT_NULL; ++i) {
    switch (entry.d_tag) {
      case DT_NEEDED:
        facts.needed.emplace_back(string_at(elf, header.sh_link, entry.d_un.d_val));
        break;
      case DT_RPATH:
      case DT_RUNPATH: {
        std::istringstream parts(string_at(elf, header.sh_link, entry.d_un.d_val));
        for (std::string part; std::getline(parts, part, ':');) facts.runpath.push_back(part);
        break;
      }
      case DT_TEXTREL:
        facts.text_relocations = true;
        break;
      case DT_FLAGS:
        if ((entry.d_un.d_val & DF_TEXTREL) != 0) facts.text_relocations = true;
        break;
      case DT_FLAGS_1:
        if ((entry.d_un.d_val & DF_1_PIE) != 0) dynamic.position_independent_executable = true;
        break;
      default:
        break;
    }
  }
}

void read_sections(Elf* elf, ElfFacts& facts, Dynamic& dynamic) {
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr header{};
    if (gelf_getshdr(section, &header) == nullptr) continue;
    if (header.sh_type == SHT_DYNSYM) read_symbols(elf, section, header, facts);
    if (header.sh_type == SHT_DYNAMIC) read_dynamic(elf, section, header, facts, dynamic);
  }
}

struct Segments {
  std::uint64_t end = 0;  // in the file, of what is loaded
  bool interpreter = false;
  bool stack_seen = false;
  bool stack_executable = false;
};

Segments read_segments(Elf* elf) {
  Segments segments;
  std::size_t count = 0;
  if (elf_getphdrnum(elf, &count) != 0) return segments;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr header{};
    if (gelf_getphdr(elf, static_cast<int>(i), &header) == nullptr) break;
    if (header.p_type == PT_LOAD && header.p_filesz <= UINT64_MAX - header.p_offset)
      segments.end = std::max(segments.end, header.p_offset + header.p_filesz);
    if (header.p_type == PT_INTERP) segments.interpreter = true;
    if (header.p_type == PT_GNU_STACK) {
      segments.stack_seen = true;
      segments.stack_executable = (header.p_flags & PF_X) != 0;
    }
  }
  return segments;
}

tl::expected<void, LoadFailure> check_type(const std::string& path, const GElf_Ehdr& header) {
  const auto refuse = [&](const char* why) {
    return tl::unexpected(no_plugin(Kind::not_shared_object, path, why));
  };
  switch (header.e_type) {
    case ET_DYN:
      return {};
    case ET_REL:
      return refuse("is an object file; link it with -shared");
    case ET_EXEC:
      return refuse("is an executable, not a shared object");
    case ET_CORE:
      return refuse("is a core dump");
    default:
      return refuse("is an ELF file of unknown type");
  }
}

}  // namespace

tl::expected<ElfFacts, LoadFailure> read_elf(const std::string& path) {
  if (auto failure = check_readable_file(path)) return tl::unexpected(std::move(*failure));
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    return tl::unexpected(no_plugin(Kind::not_readable, path, std::strerror(errno)));
  }
  elf_version(EV_CURRENT);
  const ElfFile elf(elf_begin(fd.get(), ELF_C_READ, nullptr));
  if (elf && elf_kind(elf.get()) == ELF_K_AR) {
    return tl::unexpected(no_plugin(Kind::not_shared_object, path,
                                    "is an archive (a static library), not a shared object"));
  }
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF) return tl::unexpected(not_elf(path, fd.get()));

  GElf_Ehdr header{};
  if (gelf_getehdr(elf.get(), &header) == nullptr) {
    return tl::unexpected(
        no_plugin(Kind::not_shared_object, path, "is a truncated or damaged ELF file"));
  }
  ElfFacts facts;
  facts.bits = header.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32;
  facts.machine = header.e_machine;
  if (facts.bits != static_cast<int>(8 * sizeof(void*))) {
    return tl::unexpected(no_plugin(Kind::wrong_machine, path,
                                    "is a " + std::to_string(facts.bits) + "-bit file, this is a " +
                                        std::to_string(8 * sizeof(void*)) + "-bit program"));
  }
  constexpr unsigned char own_order =
      __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
  if ((own_machine != EM_NONE && facts.machine != own_machine) ||
      header.e_ident[EI_DATA] != own_order) {
    return tl::unexpected(
        no_plugin(Kind::wrong_machine, path,
                  "is for another processor (ELF machine " + std::to_string(facts.machine) + ")"));
  }
  if (auto type = check_type(path, header); !type) return tl::unexpected(type.error());

  Dynamic dynamic;
  read_sections(elf.get(), facts, dynamic);
  const Segments segments = read_segments(elf.get());
  // dlopen would map it all the same and die of SIGBUS.
  struct stat status {};
  if (fstat(fd.get(), &status) == 0 && segments.end > static_cast<std::uint64_t>(status.st_size)) {
    return tl::unexpected(no_plugin(Kind::not_shared_object, path,
                                    "is cut short: it has " + std::to_string(status.st_size) +
                                        " bytes of " + std::to_string(segments.end)));
  }
  // Without PT_GNU_STACK the kernel gives an executable stack on most machines.
  facts.executable_stack = !segments.stack_seen || segments.stack_executable;
  // A file stripped of its section headers can still be told by its interpreter.
  const bool executable =
      dynamic.position_independent_executable || (!dynamic.present && segments.interpreter);
  if (executable) {
    return tl::unexpected(
        no_plugin(Kind::not_shared_object, path,
                  "is an executable (position-independent), not a shared object"));
  }
  facts.shared_object = true;
  return facts;
}

}  // namespace nbdcheck
