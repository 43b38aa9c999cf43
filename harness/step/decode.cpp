#include "step/decode.hpp"

namespace nbdcheck::step {
namespace {

// Opcodes of one byte that have no operand in memory (Intel SDM volume 2,
// appendix A), but for those with a ModRM byte.
bool is_plain(std::uint8_t op) {
  if (op < 0x40) return (op & 7) == 4 || (op & 7) == 5;  // with an immediate and AL or EAX
  if (op >= 0x50 && op <= 0x5f) return true;             // push, pop of a register
  if (op == 0x68 || op == 0x6a) return true;             // push of a number
  if (op >= 0x70 && op <= 0x7f) return true;             // jcc
  if (op >= 0x90 && op <= 0x99) return true;             // nop, xchg, cdq
  if (op == 0xa8 || op == 0xa9) return true;             // test
  if (op >= 0xb0 && op <= 0xbf) return true;             // mov of a number
  return op == 0xc2 || op == 0xc3 || op == 0xc9 || op == 0xe8 || op == 0xe9 || op == 0xeb;
}

bool has_modrm(std::uint8_t op) {
  if (op < 0x40) return (op & 7) < 4;
  return op == 0x63 || op == 0x69 || op == 0x6b || (op >= 0x80 && op <= 0x8f) || op == 0xc0 ||
         op == 0xc1 || op == 0xc6 || op == 0xc7 || (op >= 0xd0 && op <= 0xd3) || op == 0xf6 ||
         op == 0xf7 || op == 0xfe || op == 0xff;
}

// `code` points at the ModRM byte.
bool is_memory_operand(const std::uint8_t* code, bool extended_base) {
  const unsigned mode = code[0] >> 6;
  if (mode == 3) return false;
  const bool stack = (code[0] & 7) == 4 && (code[1] & 7) == 4 && !extended_base &&
                     (code[1] >> 3 & 7) == 4;  // [rsp + number]
  return !stack;
}

}  // namespace

bool touches_memory(const std::uint8_t* code) {
  bool extended_base = false;
  for (;; ++code) {
    const std::uint8_t byte = *code;
    // A lock or a segment is never about registers.
    if (byte == 0xf0 || byte == 0x64 || byte == 0x65) return true;
    if (byte == 0x66 || byte == 0xf2 || byte == 0xf3 || byte == 0x2e || byte == 0x3e) continue;
    if ((byte & 0xf0) != 0x40) break;
    if ((byte & 2) != 0) return true;  // REX.X: there is an index
    extended_base = (byte & 1) != 0;
  }
  const std::uint8_t op = *code;
  if (op == 0x0f) {
    const std::uint8_t second = code[1];
    if (second >= 0x80 && second <= 0x8f) return false;                    // jcc
    if (second == 0x1e || second == 0x1f || second == 0x0b) return false;  // nop, endbr64, ud2
    if (second >= 0xc8 && second <= 0xcf) return false;                    // bswap
    const bool modrm = (second >= 0x10 && second <= 0x17) || (second >= 0x28 && second <= 0x2f) ||
                       (second >= 0x40 && second <= 0x76) || (second >= 0x7e && second <= 0x7f) ||
                       (second >= 0x90 && second <= 0x9f) || second == 0xaf ||
                       (second >= 0xb6 && second <= 0xb7) || (second >= 0xbc && second <= 0xbf) ||
                       (second >= 0xc4 && second <= 0xc6) || second >= 0xd0;
    return !modrm || is_memory_operand(code + 2, extended_base);
  }
  if (op == 0x8d) return false;  // lea
  if (is_plain(op)) return false;
  if (!has_modrm(op)) return true;
  return is_memory_operand(code + 1, extended_base);
}

}  // namespace nbdcheck::step
