// libdwfl's handle as a value, for a living process or for one file.
#pragma once

#include <elfutils/libdwfl.h>

#include <memory>

namespace nbdcheck {

struct EndDwfl {
  void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
};
using DwflPointer = std::unique_ptr<Dwfl, EndDwfl>;

// Neither has dwfl_standard_find_debuginfo, which may ask a debuginfod server and
// wait for it.
inline constexpr Dwfl_Callbacks dwfl_of_process{.find_elf = dwfl_linux_proc_find_elf,
                                                .find_debuginfo = dwfl_build_id_find_debuginfo,
                                                .section_address = nullptr,
                                                .debuginfo_path = nullptr};
inline constexpr Dwfl_Callbacks dwfl_of_file{.find_elf = dwfl_build_id_find_elf,
                                             .find_debuginfo = dwfl_build_id_find_debuginfo,
                                             .section_address = dwfl_offline_section_address,
                                             .debuginfo_path = nullptr};

// All that is mapped into `process` now; null: its memory map cannot be read.
inline DwflPointer dwfl_for(int process) {
  DwflPointer dwfl(dwfl_begin(&dwfl_of_process));
  if (dwfl && (dwfl_linux_proc_report(dwfl.get(), process) != 0 ||
               dwfl_report_end(dwfl.get(), nullptr, nullptr) != 0))
    dwfl.reset();
  return dwfl;
}

}  // namespace nbdcheck
