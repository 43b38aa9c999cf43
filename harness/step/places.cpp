// Addresses in a plugin as its author knows them: functions, lines, variables.
#include <elfutils/libdwfl.h>

#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "nbdcheck/code.hpp"

namespace nbdcheck {
namespace {

// Without dwfl_standard_find_debuginfo, which may ask a server and wait for it.
constexpr Dwfl_Callbacks callbacks{.find_elf = dwfl_build_id_find_elf,
                                   .find_debuginfo = dwfl_build_id_find_debuginfo,
                                   .section_address = dwfl_offline_section_address,
                                   .debuginfo_path = nullptr};

struct EndDwfl {
  void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
};

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// One file, as if it were loaded somewhere.
class File {
 public:
  explicit File(const std::string& path) : dwfl_(dwfl_begin(&callbacks)) {
    if (!dwfl_) return;
    module_ = dwfl_report_offline(dwfl_.get(), "", path.c_str(), -1);
    dwfl_report_end(dwfl_.get(), nullptr, nullptr);
    if (module_ != nullptr && dwfl_module_getelf(module_, &bias_) == nullptr) module_ = nullptr;
  }

  [[nodiscard]] std::string line(std::uint64_t in_file) const {
    if (module_ == nullptr) return "";
    const char* function = dwfl_module_addrname(module_, in_file + bias_);
    if (function == nullptr) return "";
    std::string text = function;
    int number = 0;
    Dwfl_Line* found = dwfl_module_getsrc(module_, in_file + bias_);
    const char* source = found == nullptr
                             ? nullptr
                             : dwfl_lineinfo(found, nullptr, &number, nullptr, nullptr, nullptr);
    if (source != nullptr) text += fmt::format(" at {}:{}", base_name(source), number);
    return text;
  }

  [[nodiscard]] std::string variable(std::uint64_t in_file) const {
    if (module_ == nullptr) return "";
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char* name =
        dwfl_module_addrinfo(module_, in_file + bias_, &offset, &symbol, nullptr, nullptr, nullptr);
    if (name == nullptr || GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || offset >= symbol.st_size)
      return "";
    return offset == 0 ? name : fmt::format("{}+{}", name, offset);
  }

 private:
  std::unique_ptr<Dwfl, EndDwfl> dwfl_;
  Dwfl_Module* module_ = nullptr;
  GElf_Addr bias_ = 0;
};

}  // namespace

std::string Code::source(std::uint64_t address) const {
  for (const CodeObject& object : objects_) {
    if (address < object.begin || address >= object.end) continue;
    std::string text = File(object.path).line(address - object.base);
    if (!text.empty()) return text;
  }
  return place(address);
}

std::string Code::variable(std::uint64_t address) const {
  for (const CodeObject& object : objects_) {
    if (address < object.begin || address >= object.end) continue;
    std::string text = File(object.path).variable(address - object.base);
    if (!text.empty()) return text;
  }
  return fmt::format("{:#x}", address);
}

}  // namespace nbdcheck
