// Addresses in a plugin as its author knows them: functions, lines, variables.
#include <fmt/format.h>

#include "nbdcheck/code.hpp"
#include "sandbox/base_name.hpp"
#include "sandbox/dwfl.hpp"

namespace nbdcheck {
namespace {

// One file, as if it were loaded somewhere.
class File {
 public:
  explicit File(const std::string& path) : dwfl_(dwfl_begin(&dwfl_of_file)) {
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
    const char* file = found == nullptr
                           ? nullptr
                           : dwfl_lineinfo(found, nullptr, &number, nullptr, nullptr, nullptr);
    if (file != nullptr) text += fmt::format(" at {}:{}", base_name(file), number);
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
  DwflPointer dwfl_;
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
