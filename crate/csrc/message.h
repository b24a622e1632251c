// How a failure gets out of C++: as a message.

#pragma once

#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

namespace nnclr {

// Longest message of an error, with its end.
constexpr size_t kMessage = 1024;

// Runs `work`; what it throws becomes false and a message.
template <typename Work>
bool guarded(char* message, Work&& work) {
  try {
    work();
    return true;
  } catch (const c10::Error& error) {
    std::strncpy(message, error.what_without_backtrace(), kMessage - 1);
  } catch (const std::exception& error) {
    std::strncpy(message, error.what(), kMessage - 1);
  } catch (...) {
    std::strncpy(message, "an unknown exception", kMessage - 1);
  }
  message[kMessage - 1] = '\0';
  return false;
}

}  // namespace nnclr
