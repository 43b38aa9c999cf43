// Functions of nbdkit-plugin.h that came after nbdkit 1.32, declared by
// ourselves because the installed header may be older.  A plugin built for a
// newer nbdkit names them and must load here.  Signatures: nbdkit_disconnect(3)
// and the other per-function manual pages.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

void nbdkit_disconnect(int force);                                            // 1.34
int nbdkit_parse_probability(const char* what, const char* text, double* r);  // 1.36
char* nbdkit_peer_security_context(void);                                     // 1.36
int nbdkit_parse_delay(const char* what, const char* text, unsigned* sec,
                       unsigned* nsec);  // 1.40
char* nbdkit_peer_tls_dn(void);          // 1.42
char* nbdkit_peer_tls_issuer_dn(void);   // 1.42
void nbdkit_debug_hexdump(const void* buf, std::size_t len, const char* prefix,
                          std::uint64_t offset);  // 1.46
void nbdkit_debug_hexdiff(const void* buf1, const void* buf2, std::size_t len, const char* prefix,
                          std::uint64_t offset);  // 1.46
const char* nbdkit_name(void);                    // after 1.46
const char* nbdkit_timestamp(void);               // after 1.46
}
