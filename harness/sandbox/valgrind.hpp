#pragma once

namespace nbdcheck::sandbox {

bool under_valgrind();

}  // namespace nbdcheck::sandbox
