#include "core/disk.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

namespace convbasis {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

TEST(Disk, WhatWasWrittenIsThereWhateverIsFlushed) {
  const File file(std::tmpfile(), std::fclose);
  ASSERT_NE(file, nullptr);
  std::string text(3'000'001, 'a');
  for (std::size_t at = 0; at < text.size(); ++at) text[at] = static_cast<char>('a' + at % 26);
  ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file.get()), text.size());
  flush_range(file.get(), 0, 0);
  flush_range(file.get(), 1000, 1'000'000);
  flush_range(file.get(), 2'000'000, 50'000'000);  // past the end
  EXPECT_TRUE(flush_to_disk(file.get()));
  std::string back(text.size(), '\0');
  std::rewind(file.get());
  ASSERT_EQ(std::fread(back.data(), 1, back.size(), file.get()), back.size());
  EXPECT_EQ(back, text);
}

TEST(Disk, AFullDiskIsTold) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
  const File file(std::fopen("/dev/full", "wb"), std::fclose);
  ASSERT_NE(file, nullptr);
  std::fputs("x", file.get());
  flush_range(file.get(), 0, 1);
  EXPECT_FALSE(flush_to_disk(file.get()));
}

}  // namespace
}  // namespace convbasis
