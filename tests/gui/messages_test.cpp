// The log, toasts and banners, with a clock of the test's own.

#include "state/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace convscope {
namespace {

TEST(Messages, ToastStaysThenFadesThenGoes) {
  Messages messages;
  messages.toast(Severity::note, "saved", 10.0);
  ASSERT_EQ(messages.toasts().size(), 1U);
  const Toast toast = messages.toasts().front();
  EXPECT_EQ(Messages::opacity(toast, 10.0), 1.0);
  EXPECT_EQ(Messages::opacity(toast, 10.0 + toast_seconds), 1.0);
  EXPECT_NEAR(Messages::opacity(toast, 10.0 + toast_seconds + fade_seconds / 2.0), 0.5, 1e-9);
  messages.expire(10.0 + toast_seconds);
  EXPECT_EQ(messages.toasts().size(), 1U);
  messages.expire(10.0 + toast_seconds + fade_seconds);
  EXPECT_TRUE(messages.toasts().empty());
  ASSERT_EQ(messages.all().size(), 1U);
  EXPECT_EQ(messages.all().front().text, "saved");
}

TEST(Messages, AskForFramesOnlyWhileSomethingFades) {
  Messages messages;
  EXPECT_TRUE(std::isinf(messages.next_frame(0.0)));
  messages.log(Severity::note, "only in the log");
  messages.set_banner("key", Severity::error, "stays");
  EXPECT_TRUE(std::isinf(messages.next_frame(0.0)));
  messages.toast(Severity::note, "fades", 0.0);
  EXPECT_EQ(messages.next_frame(1.0), toast_seconds);
  const double fading = messages.next_frame(toast_seconds + 0.1);
  EXPECT_GT(fading, toast_seconds + 0.1);
  EXPECT_LT(fading, toast_seconds + 0.2);
}

TEST(Messages, KeepSoManyAndNoMore) {
  Messages messages;
  for (std::size_t i = 0; i < Messages::most_logged + 10; ++i) messages.toast(Severity::note, std::to_string(i), 0.0);
  EXPECT_EQ(messages.all().size(), Messages::most_logged);
  EXPECT_EQ(messages.all().front().text, "10");
  EXPECT_EQ(messages.toasts().size(), Messages::most_toasts);
  messages.log(Severity::note, std::string(10 * Messages::longest_text, 'x'));
  EXPECT_LE(messages.all().back().text.size(), Messages::longest_text + 3);
}

TEST(Messages, AreCutBetweenCharacters) {
  Messages messages;
  std::string text(Messages::longest_text - 1, 'x');
  messages.log(Severity::note, text + "\u00e4\u00e4");  // the first byte of the letter fits, the second does not
  EXPECT_EQ(messages.all().back().text, text + "\u2026");
}

TEST(Messages, SameToastAgainStaysLonger) {
  Messages messages;
  messages.toast(Severity::note, "saved", 0.0);
  messages.toast(Severity::note, "saved", 3.0);
  ASSERT_EQ(messages.toasts().size(), 1U);
  EXPECT_EQ(messages.toasts().front().until, 3.0 + toast_seconds);
}

TEST(Messages, BannerStaysUntilCleared) {
  Messages messages;
  messages.set_banner("failure", Severity::error, "no such file");
  messages.set_banner("failure", Severity::error, "no such file");
  messages.expire(1e9);
  EXPECT_EQ(messages.banners().size(), 1U);
  EXPECT_EQ(messages.all().size(), 1U) << "said once, logged once";
  messages.set_banner("failure", Severity::error, "another");
  ASSERT_EQ(messages.banners().size(), 1U);
  EXPECT_EQ(messages.banners().front().text, "another");
  EXPECT_EQ(messages.all().size(), 2U);
  messages.clear_banner("unknown");
  EXPECT_EQ(messages.banners().size(), 1U);
  messages.clear_banner("failure");
  EXPECT_TRUE(messages.banners().empty());
}

TEST(Messages, LogLineHasTimeSeverityAndText) {
  EXPECT_THAT(log_line({Severity::warning, std::chrono::system_clock::now(), "look out"}),
              testing::MatchesRegex("[0-9][0-9]:[0-9][0-9]:[0-9][0-9].*  warning  look out"));
}

}  // namespace
}  // namespace convscope
