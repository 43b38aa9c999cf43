#include "step/decode.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace nbdcheck::step {
namespace {

struct Sample {
  const char* text;
  std::vector<std::uint8_t> code;
  bool touches;
};

TEST(Decode, WhatOthersCanSee) {
  const std::vector<Sample> samples{
      {"push rbx", {0x53}, false},
      {"mov rax, rbx", {0x48, 0x89, 0xd8}, false},
      {"mov rax, [rbx]", {0x48, 0x8b, 0x03}, true},
      {"mov [rip+8], eax", {0x89, 0x05, 8, 0, 0, 0}, true},
      {"mov [rsp+8], rax", {0x48, 0x89, 0x44, 0x24, 0x08}, false},
      {"mov [r12+8], rax", {0x49, 0x89, 0x44, 0x24, 0x08}, true},
      {"mov [rsp+rcx*8], rax", {0x48, 0x89, 0x04, 0xcc}, true},
      {"lea rax, [rbx+8]", {0x48, 0x8d, 0x43, 0x08}, false},
      {"je +5", {0x74, 0x05}, false},
      {"je far", {0x0f, 0x84, 0, 1, 0, 0}, false},
      {"call", {0xe8, 0, 0, 0, 0}, false},
      {"ret", {0xc3}, false},
      {"endbr64", {0xf3, 0x0f, 0x1e, 0xfa}, false},
      {"lock cmpxchg [rdx], ecx", {0xf0, 0x0f, 0xb1, 0x0a}, true},
      {"xchg [rdi], eax", {0x87, 0x07}, true},
      {"rep movsb", {0xf3, 0xa4}, true},
      {"movups xmm0, [rax]", {0x0f, 0x10, 0x00}, true},
      {"movups [rsp], xmm0", {0x0f, 0x11, 0x04, 0x24}, false},
      {"add eax, 5", {0x83, 0xc0, 0x05}, false},
      {"add dword [rbx], 5", {0x83, 0x03, 0x05}, true},
      {"cmp al, 1", {0x3c, 0x01}, false},
      {"movzx eax, byte [rbx]", {0x0f, 0xb6, 0x03}, true},
      {"mov rax, fs:[0]", {0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0}, true},
      {"syscall", {0x0f, 0x05}, true},
      {"jmp [rip]", {0xff, 0x25, 0, 0, 0, 0}, true},
      {"vmovdqu ymm0, [rax]", {0xc5, 0xfe, 0x6f, 0x00}, true},
  };
  for (const Sample& sample : samples) {
    auto code = sample.code;
    code.resize(16, 0x90);
    EXPECT_EQ(touches_memory(code.data()), sample.touches) << sample.text;
  }
}

}  // namespace
}  // namespace nbdcheck::step
