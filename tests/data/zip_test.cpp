// Zip archives: what is read, and one test for each rule that a damaged or hostile archive may break.
#include "data/zip.h"

#include "core/errors.h"
#include "data/file_reader.h"
#include "support/archive_bytes.h"
#include "support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <stop_token>

namespace convbasis {
namespace {

using test::TemporaryFolder;
using test::zip_bytes;
using test::ZipBytes;
using test::ZipEnd;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ZipBytes entry(const std::string& name, const std::string& data, bool deflate = false) {
  ZipBytes made;
  made.name = name;
  made.data = data;
  made.deflate = deflate;
  return made;
}

/// The error of reading the directory and then every entry whole; the path in front is checked and taken off.
std::string problem_of(const std::string& bytes) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.zip", bytes);
  try {
    const FileReader file(path);
    for (const ZipEntry& found : read_zip_directory(file)) {
      (void)whole_entry(file, found, 1 << 20U, false, name_of_entry(file, found));
    }
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(), StartsWith(path.string() + ": "));
    return std::string(error.what()).substr(path.string().size() + 2);
  }
  return "no error";
}

std::string text_of(const std::vector<std::byte>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// Some text that deflate makes shorter, and needs several of its blocks for.
std::string long_text(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; text.size() < count; ++i) text += std::to_string(i * i % 1009) + " ";
  return text.substr(0, count);
}

RC_GTEST_PROP(ZipProperty, WholePartialAndFirstBytes, ()) {
  std::vector<ZipBytes> entries;
  const auto count = *rc::gen::inRange<std::size_t>(0, 5);
  for (std::size_t i = 0; i < count; ++i) {
    entries.push_back(entry(std::string("e") + std::to_string(i), long_text(*rc::gen::inRange<std::size_t>(0, 200'000)),
                            *rc::gen::arbitrary<bool>()));
    entries.back().zip64_local = *rc::gen::arbitrary<bool>();
    entries.back().zip64_central = *rc::gen::arbitrary<bool>();
    entries.back().padding = *rc::gen::inRange<std::size_t>(0, 64);
  }
  ZipEnd end;
  end.zip64 = *rc::gen::arbitrary<bool>();
  if (!end.zip64) end.comment = std::string(*rc::gen::inRange<std::size_t>(0, 100), 'c');
  const TemporaryFolder folder;
  const FileReader file(folder.write("a.zip", zip_bytes(entries, end)));
  const std::vector<ZipEntry> found = read_zip_directory(file);
  RC_ASSERT(found.size() == count);
  const auto inflated = std::make_shared<InflatedEntries>(false);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& data = entries[i].data;
    RC_ASSERT(found[i].name == entries[i].name);
    RC_ASSERT(text_of(whole_entry(file, found[i], data.size(), false, "x")) == data);
    const auto start = *rc::gen::inRange<std::size_t>(0, data.size() + 100);
    RC_ASSERT(text_of(first_bytes(file, found[i], start, "x")) == data.substr(0, start));
    const ZipEntrySource source(file, found[i], inflated);
    RC_ASSERT(source.size() == data.size());
    const auto from = *rc::gen::inRange<std::size_t>(0, data.size() + 1);
    RC_ASSERT(read_text(source, from, data.size() - from) == data.substr(from));
  }
}

TEST(Zip, ReadsBeyondTheEndOfAnEntryAreRefused) {
  const TemporaryFolder folder;
  const FileReader file(folder.write("a.zip", zip_bytes({entry("a", "12345"), entry("b", "67890", true)})));
  const auto inflated = std::make_shared<InflatedEntries>(false);
  for (const ZipEntry& found : read_zip_directory(file)) {
    const ZipEntrySource source(file, found, inflated);
    EXPECT_THROW(read_text(source, 3, 3), FileError);
    EXPECT_THROW(read_text(source, 6, 0), FileError);
    EXPECT_EQ(read_text(source, 5, 0), "");
  }
}

TEST(Zip, InflatedEntriesAreDroppedWhenTheyWereNotUsedForLongest) {
  const TemporaryFolder folder;
  std::vector<ZipBytes> entries;
  for (const char* name : {"a", "b", "c"}) entries.push_back(entry(name, name + long_text(100'000), true));
  const FileReader file(folder.write("a.zip", zip_bytes(entries)));
  const std::vector<ZipEntry> found = read_zip_directory(file);
  InflatedEntries inflated(false, 250'000);
  const auto get = [&](std::size_t i) { return inflated.get(file, found[i], "x", {}); };
  const InflatedEntries::Bytes first = get(0);
  const InflatedEntries::Bytes second = get(1);
  EXPECT_EQ(get(0), first) << "the same bytes, not inflated again";
  const InflatedEntries::Bytes third = get(2);
  EXPECT_LE(inflated.held_bytes(), 250'000U);
  EXPECT_EQ(get(0), first);
  EXPECT_NE(get(1), second) << "the second was used before the others";
  EXPECT_EQ(text_of(*second), entries[1].data) << "what somebody still uses stays";
  EXPECT_EQ(text_of(*get(1)), entries[1].data);
}

TEST(Zip, InflatingStops) {
  const TemporaryFolder folder;
  const FileReader file(folder.write("a.zip", zip_bytes({entry("a", long_text(100'000), true)})));
  std::stop_source stop;
  stop.request_stop();
  RunContext context;
  context.stop = stop.get_token();
  EXPECT_THROW((void)whole_entry(file, read_zip_directory(file)[0], 1 << 20U, false, "x", context), Cancelled);
}

TEST(ZipBadInput, TheEnd) {
  const std::string good = zip_bytes({entry("a", "12345")});
  EXPECT_EQ(problem_of(good), "no error");
  EXPECT_THAT(problem_of(good.substr(0, good.size() - 1)), HasSubstr("is a zip archive without the list of its entries"));
  EXPECT_THAT(problem_of(good + "x"), HasSubstr("without the list of its entries"));
  EXPECT_THAT(problem_of("PK\x05\x06"), HasSubstr("without the list of its entries"));
  const auto with_end = [](auto change) {
    ZipEnd end;
    change(end);
    return problem_of(zip_bytes({entry("a", "12345")}, end));
  };
  EXPECT_THAT(with_end([](ZipEnd& end) { end.comment_bytes = 3; }), HasSubstr("without the list of its entries"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.disk = 1; }),
              HasSubstr("is one part of a zip archive in several files; join them first"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.entries_here = 3; }), HasSubstr("one part of a zip archive"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.entries = 2; }), HasSubstr("holds fewer entries than it says"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.entries = 0; }), HasSubstr("has 47 bytes after the last of its 0 entries"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.directory = 1'000'000; }),
              HasSubstr("its zip directory should take 47 bytes from position 1000000 on, but its end stands at 83"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.directory_bytes = 100'000; }), HasSubstr("should take 100000 bytes"));
}

TEST(ZipBadInput, ALongDirectory) {
  ZipEnd end;
  end.directory = 0;
  end.directory_bytes = (std::uint64_t{64} << 20U) + 1;
  EXPECT_THAT(problem_of(zip_bytes({entry("a", std::string(70'000'000, '\0'))}, end)),
              HasSubstr("its zip directory is 67108865 bytes long; at most 67108864 are read"));
}

TEST(ZipBadInput, TheEndOfZip64) {
  const auto with_end = [](auto change) {
    ZipEnd end;
    end.zip64 = true;
    change(end);
    return problem_of(zip_bytes({entry("a", "12345")}, end));
  };
  EXPECT_EQ(with_end([](ZipEnd&) {}), "no error");
  EXPECT_THAT(with_end([](ZipEnd& end) { end.end64 = 0xFFFF'FFFF'FFFF'FFF0; }), HasSubstr("which is not before its end"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.end64 = 3; }), HasSubstr("has no ZIP64 record at position 3, where its end says"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.directory = 0xFFFF'FFFF'FFFF'FFFF; }), HasSubstr("its zip directory should take"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.entries = std::uint64_t{1} << 40U; }),
              HasSubstr("lists 1099511627776 entries; at most 100000 are read"));
  EXPECT_THAT(with_end([](ZipEnd& end) { end.entries_here = 7; }), HasSubstr("one part of a zip archive"));
}

TEST(ZipBadInput, Entries) {
  const auto with_entry = [](auto change) {
    ZipBytes made = entry("a", "12345");
    change(made);
    return problem_of(zip_bytes({made}));
  };
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.flags = 1; }),
              HasSubstr("entry \"a\" is encrypted; save the file without a password"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.flags = 1U << 13U; }), HasSubstr("is encrypted"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.method = 14; }),
              HasSubstr("entry \"a\" is compressed by method 14; only stored (0) and deflated (8) entries are read"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.disk = 2; }), HasSubstr("entry \"a\" lies in another part of the archive"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.local_name = "b"; }), HasSubstr("entry \"a\" has another name in its own header"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.local = 1; }), HasSubstr("has no entry \"a\" at position 1"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.local = 100; }), HasSubstr("entry \"a\" should take 5 bytes from position 100 on"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.bytes = e.stored_bytes = 60; }),
              HasSubstr("should take 60 bytes from position 0 on"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.bytes = 6; }),
              HasSubstr("entry \"a\" takes 5 bytes in the archive and 6 outside, which a stored entry cannot give"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.extra = "\x01\x02\xFF\xFF"; }), HasSubstr("entry \"a\" has a damaged extra field"));
  EXPECT_THAT(with_entry([](ZipBytes& e) {
                e.bytes = 0xFFFFFFFF;
                e.extra = std::string("\x01\x00\x00\x00", 4);
              }),
              HasSubstr("entry \"a\" lacks a size in its ZIP64 field"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.name = std::string(1025, 'n'); }),
              HasSubstr("has an entry whose name is 1025 bytes long; at most 1024 are read"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.crc = 7; }),
              HasSubstr("entry \"a\": is damaged: its CRC-32 is cbf53a1c, but the archive says 00000007"));
}

TEST(ZipBadInput, EntriesThatShareNamesOrBytes) {
  EXPECT_THAT(problem_of(zip_bytes({entry("a", "1"), entry("a", "2")})), HasSubstr("has two entries \"a\""));
  // The second header lies inside the data of the first: the way in which bombs list one block many times.
  ZipBytes outer = entry("a", test::zip_local(entry("b", "12345"), "12345", 0));
  ZipBytes inner = entry("b", "12345");
  inner.local = 31;
  EXPECT_THAT(problem_of(zip_bytes({outer, inner})), HasSubstr("entries \"a\" and \"b\" overlap"));
}

TEST(ZipBadInput, CompressedData) {
  const std::string data = long_text(100'000);
  const auto with_entry = [&](auto change) {
    ZipBytes made = entry("a", data, true);
    change(made);
    return problem_of(zip_bytes({made}));
  };
  EXPECT_EQ(with_entry([](ZipBytes&) {}), "no error");
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.bytes = 99'999; }),
              HasSubstr("inflates to more than the 99999 bytes the archive says"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.bytes = 100'001; }),
              HasSubstr("inflates to 100000 bytes, but the archive says 100001"));
  EXPECT_THAT(with_entry([](ZipBytes& e) { e.bytes = 500'000'000; }), HasSubstr("which deflate cannot give"));
  EXPECT_THAT(with_entry([&](ZipBytes& e) { e.stored = test::deflated(data).substr(0, 1000); }),
              HasSubstr("bytes, but the archive says 100000"));
  EXPECT_THAT(with_entry([&](ZipBytes& e) { e.stored = test::deflated(data) + "x"; }), HasSubstr("inflates to more than"));
  EXPECT_THAT(with_entry([&](ZipBytes& e) { e.stored = std::string(1000, '\xFF'); }),
              HasSubstr("its compressed data are damaged"));
  EXPECT_THAT(with_entry([&](ZipBytes& e) { e.crc = 0; }), HasSubstr("but the archive says 00000000"));
  // 2,000,000 bytes from 2,000: a ratio that deflate can give, but more than is asked for here.
  ZipBytes bomb = entry("bomb", std::string(2'000'000, '\0'), true);
  EXPECT_THAT(problem_of(zip_bytes({bomb})), HasSubstr("takes 2000000 bytes; at most 1048576 are read at once"));
}

TEST(ZipBadInput, CompressedEntriesAboveTheCapAreNotInflated) {
  const TemporaryFolder folder;
  const FileReader file(folder.write("a.zip", zip_bytes({entry("a", "12345", true)})));
  ZipEntry found = read_zip_directory(file)[0];
  found.bytes = InflatedEntries::most_bytes + 1;
  const ZipEntrySource source(file, found, std::make_shared<InflatedEntries>(false));
  EXPECT_THAT(testing_inputs::message_of<FileError>([&] { read_text(source, 0, 1); }),
              HasSubstr("Save it uncompressed, with numpy.savez, or as an npy file"));
}

}  // namespace
}  // namespace convbasis
