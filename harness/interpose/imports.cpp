#include "interpose/imports.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace nbdcheck::interpose {
namespace {

#if defined(__x86_64__)
constexpr bool is_import(std::uint64_t type) {
  return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT;
}
#elif defined(__aarch64__)
constexpr bool is_import(std::uint64_t type) {
  return type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT;
}
#else
constexpr bool is_import(std::uint64_t) { return false; }
#endif

// The dynamic section of one loaded object.
struct Dynamic {
  std::uint64_t base = 0;
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  struct Table {
    const ElfW(Rela) * entries = nullptr;
    std::size_t size = 0;  // bytes
  };
  Table tables[2];  // of functions, and of everything
};

Dynamic read_dynamic(std::uint64_t base, const ElfW(Dyn) * entry) {
  Dynamic result;
  result.base = base;
  // The dynamic linker has made these addresses absolute; not all do.
  const auto at = [base](std::uint64_t value) {
    return reinterpret_cast<const void*>(value < base ? base + value : value);
  };
  for (; entry->d_tag != DT_NULL; ++entry) {
    switch (entry->d_tag) {
      case DT_SYMTAB:
        result.symbols = static_cast<const ElfW(Sym)*>(at(entry->d_un.d_ptr));
        break;
      case DT_STRTAB:
        result.names = static_cast<const char*>(at(entry->d_un.d_ptr));
        break;
      case DT_JMPREL:
        result.tables[0].entries = static_cast<const ElfW(Rela)*>(at(entry->d_un.d_ptr));
        break;
      case DT_PLTRELSZ:
        result.tables[0].size = entry->d_un.d_val;
        break;
      case DT_RELA:
        result.tables[1].entries = static_cast<const ElfW(Rela)*>(at(entry->d_un.d_ptr));
        break;
      case DT_RELASZ:
        result.tables[1].size = entry->d_un.d_val;
        break;
      default:
        break;
    }
  }
  return result;
}

struct Search {
  const Code& code;
  std::vector<Dynamic> found;
};

int note_object(dl_phdr_info* info, std::size_t, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  const ElfW(Dyn)* dynamic = nullptr;
  bool wanted = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    const std::uint64_t address = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(address);
    if (header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0)
      wanted = wanted || search.code.contains(address);
  }
  if (wanted && dynamic != nullptr) search.found.push_back(read_dynamic(info->dlpi_addr, dynamic));
  return 0;
}

bool make_writable(void** slot) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(slot) / page * page;
  return ::mprotect(reinterpret_cast<void*>(begin), page, PROT_READ | PROT_WRITE) == 0;
}

}  // namespace

Imports::Imports(const Code& code, std::span<const Replacement> replacements) {
  Search search{code, {}};
  ::dl_iterate_phdr(note_object, &search);
  for (const Dynamic& object : search.found) {
    if (object.symbols == nullptr || object.names == nullptr) continue;
    for (const auto& table : object.tables) {
      if (table.entries == nullptr) continue;
      for (const auto& relocation : std::span(table.entries, table.size / sizeof(ElfW(Rela)))) {
        if (!is_import(ELF64_R_TYPE(relocation.r_info))) continue;
        const auto& symbol = object.symbols[ELF64_R_SYM(relocation.r_info)];
        const std::string_view name = object.names + symbol.st_name;
        const auto replacement = std::find_if(replacements.begin(), replacements.end(),
                                              [&](const Replacement& r) { return r.name == name; });
        if (replacement == replacements.end()) continue;
        auto** slot = reinterpret_cast<void**>(object.base + relocation.r_offset);
        // Only what the wrappers would call in its place.
        if (*slot == nullptr || *slot != ::dlsym(RTLD_DEFAULT, replacement->name.data())) continue;
        if (!make_writable(slot)) continue;
        changed_.push_back({slot, *slot});
        __atomic_store_n(slot, replacement->function, __ATOMIC_RELAXED);
      }
    }
  }
}

Imports::~Imports() {
  for (const Changed& change : changed_)
    __atomic_store_n(change.slot, change.before, __ATOMIC_RELAXED);
}

}  // namespace nbdcheck::interpose
