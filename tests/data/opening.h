/// \file
/// What opening a damaged file says.
#pragma once

#include "core/errors.h"
#include "data/tensor_file.h"
#include "support/tensor_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace convbasis::test {

/// The error of opening these bytes under that name; the path in front is checked and taken off.
inline std::string problem_of_opening(const std::string& name, const std::string& bytes) {
  const TemporaryFolder folder;
  const auto path = folder.write(name, bytes);
  try {
    open_tensor_file(path);
  } catch (const FileError& error) {
    const std::string message = error.what();
    EXPECT_THAT(message, ::testing::StartsWith(path.string() + ": "));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message.substr(path.string().size() + 2);
  }
  return "no error";
}

}  // namespace convbasis::test
