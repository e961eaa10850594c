/// \file
/// What an expected error says.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace convbasis::testing_inputs {

/// The message of the `Expected` error that `call` throws; a test failure and "" when it throws none or another one.
/// Every message of ours is one line.
template <class Expected, class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Expected& error) {
    const std::string message = error.what();
    EXPECT_FALSE(message.empty());
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception: " << error.what();
    return "";
  }
  ADD_FAILURE() << "no exception";
  return "";
}

}  // namespace convbasis::testing_inputs
