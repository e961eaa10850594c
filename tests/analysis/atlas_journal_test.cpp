// Records and journals of the atlas: nothing is lost on the way through a file, and nothing in a file can do harm.

#include "analysis/atlas_journal.h"
#include "analysis/head_atlas_source.h"
#include "core/errors.h"
#include "data/npy_writer.h"
#include "support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

namespace convbasis {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing_inputs::message_of;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// A folder of its own for each test.
class AtlasJournalTest : public ::testing::Test {
 protected:
  AtlasJournalTest() {
    folder_ = fs::temp_directory_path() / ("atlas_journal_" + std::to_string(std::random_device{}()));
    fs::create_directory(folder_);
  }
  ~AtlasJournalTest() override { fs::remove_all(folder_); }

  fs::path path() const { return folder_ / "heads.csv.journal"; }
  static std::string contents(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  void write(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }

 private:
  fs::path folder_;
};

AtlasManifest manifest_of(Index layers, Index heads) {
  AtlasManifest manifest{.version = "0.1",
                         .file = "a \"model\".safetensors",
                         .model = "m",
                         .fingerprint = "f",
                         .precision = "f32",
                         .n = 0,
                         .options = {},
                         .heads = {}};
  for (Index layer = 0; layer < layers; ++layer) {
    for (Index head = 0; head < heads; ++head) manifest.heads.push_back({layer, head});
  }
  return manifest;
}

HeadAtlasEntry entry_of(int seed) {
  std::mt19937 rng(static_cast<unsigned>(seed));
  std::uniform_real_distribution<double> number(0.0, 1.0);
  HeadAtlasEntry entry{.n = 100 + seed,
                       .entropy = number(rng),
                       .relative_entropy = nan,
                       .sink_mass = number(rng) * 1e-300,
                       .band_mass = 1.0 / 3.0,
                       .recover_errors = {number(rng), HUGE_VAL},
                       .fit_errors = {nan, number(rng)},
                       .rank_errors = {0.0, number(rng)},
                       .k_for_target = seed % 2 == 0 ? std::optional<Index>(seed) : std::nullopt,
                       .ladder = {{"band", 3, 4, 5, 6, number(rng), nan, 7.5}, {"lag_vectors", 0, 0, 1, 0, HUGE_VAL, 0.1, 2.0}},
                       .thumbnail = {},
                       .failure = {}};
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(thumbnail_side * thumbnail_side));
  for (auto& code : codes) code = static_cast<std::uint8_t>(rng());
  entry.thumbnail = thumbnail_from_codes(codes);
  return entry;
}

TEST(AtlasRecord, ComesBackDigitForDigit) {
  for (int seed = 0; seed < 20; ++seed) {
    const std::string text = atlas_record_text({3, seed}, entry_of(seed));
    EXPECT_EQ(text.find('\n'), std::string::npos);
    const AtlasRecord record = parse_atlas_record(text);
    EXPECT_EQ(record.place, (AtlasPlace{3, seed}));
    EXPECT_EQ(atlas_record_text(record.place, record.entry), text);
    EXPECT_EQ(record.entry.entropy, entry_of(seed).entropy);
    EXPECT_EQ(record.entry.sink_mass, entry_of(seed).sink_mass);
    EXPECT_TRUE(std::isnan(record.entry.relative_entropy));
    EXPECT_TRUE(std::isinf(record.entry.recover_errors[1]));
    EXPECT_EQ(record.entry.ladder[0].rank, 6);
    EXPECT_EQ(record.entry.k_for_target, entry_of(seed).k_for_target);
  }
}

TEST(AtlasRecord, KeepsAFailure) {
  HeadAtlasEntry entry;
  entry.n = 5;
  entry.failure = "a.npy: NaN in \"q\"";
  const AtlasRecord record = parse_atlas_record(atlas_record_text({1, 2}, entry));
  EXPECT_EQ(record.entry.failure, entry.failure);
  EXPECT_EQ(record.entry.n, 5);
}

TEST(AtlasRecord, AnyOtherTextIsRefused) {
  const std::string good = atlas_record_text({0, 1}, entry_of(2));
  std::mt19937 rng(7);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = good.substr(0, good.size() - 5000);  // most of it is the thumbnail
    if (round % 2 == 0) text = good;
    for (int change = 0; change < 3; ++change) text[rng() % 700] = static_cast<char>(rng());
    try {
      parse_atlas_record(text);
    } catch (const Error& error) {
      ++refused;
      EXPECT_THAT(error.what(), HasSubstr("no record of a head"));
    }
  }
  EXPECT_GT(refused, 1000);
  for (const char* text : {"", "{}", "[]", "null", "[[[[", "{\"layer\":0.5,\"head\":1,\"n\":3}", "{\"layer\":\"0\"}"}) {
    EXPECT_THROW(parse_atlas_record(text), Error) << text;
  }
}

TEST(AtlasManifest, ComesBackAndTellsDifferences) {
  AtlasManifest manifest = manifest_of(2, 3);
  manifest.options = {.ks = {1, 5}, .band = 7, .columns = 0, .ladder = false};
  manifest.options.summary.recover.search = Search::scan;
  EXPECT_EQ(parse_atlas_manifest(atlas_manifest_text(manifest)), manifest);
  EXPECT_EQ(difference(manifest, manifest), "");
  AtlasManifest other = manifest;
  other.options.ks = {8};
  EXPECT_EQ(difference(manifest, other), "k is [1,5] there and [8] here");
  other = manifest;
  other.options.summary.target_error = 0.5;
  EXPECT_THAT(difference(manifest, other), HasSubstr("target_error is 0.1 there and 0.5 here"));
  other = manifest;
  other.heads.pop_back();
  EXPECT_THAT(difference(manifest, other), HasSubstr("6 there and 5 here"));
  other = manifest;
  other.fingerprint = "g";
  EXPECT_EQ(difference(manifest, other), "the files' contents differ");
  other = manifest;
  other.version = "9";
  other.n = 12;
  EXPECT_EQ(difference(manifest, other), "the program's version is 0.1 there and 9 here; n is 0 there and 12 here");
  EXPECT_THROW(parse_atlas_manifest("{}"), Error);
}

TEST(Base64, KnownTexts) {
  const auto bytes = [](std::string_view text) { return std::vector<std::uint8_t>(text.begin(), text.end()); };
  const std::vector<std::pair<std::string, std::string>> known = {// RFC 4648, section 10
                                                                  {"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : known) {
    EXPECT_EQ(base64_text(bytes(plain)), text);
    EXPECT_EQ(bytes_of_base64(text), bytes(plain));
  }
  for (const char* bad : {"Z", "Zg", "Zg=", "Z===", "Zg==Zg==", "Zm9*", "Zm 9"}) EXPECT_THROW(bytes_of_base64(bad), Error) << bad;
}

TEST_F(AtlasJournalTest, GoesOnWhereItWas) {
  const AtlasManifest manifest = manifest_of(3, 4);
  std::map<Index, std::string> kept;
  for (int run = 0; run < 3; ++run) {
    AtlasJournal journal(path(), manifest, false);
    const auto finished = journal.take_finished();
    ASSERT_EQ(finished.size(), kept.size());
    for (const auto& [place, entry] : finished) {
      EXPECT_EQ(atlas_record_text(manifest.heads[static_cast<std::size_t>(place)], entry), kept[place]);
    }
    for (const int place : {run, 11 - run}) {
      kept[place] = atlas_record_text(manifest.heads[static_cast<std::size_t>(place)], entry_of(place));
      journal.append(kept[place]);
    }
  }
  AtlasJournal journal(path(), manifest, false);
  EXPECT_EQ(journal.take_finished().size(), 6U);
  journal.remove();
  EXPECT_FALSE(fs::exists(path()));
}

TEST_F(AtlasJournalTest, ATornEndCostsOnlyTheLastHead) {
  const AtlasManifest manifest = manifest_of(1, 5);
  std::vector<std::size_t> ends;
  {
    AtlasJournal journal(path(), manifest, false);
    ends.push_back(contents(path()).size());
    for (int place = 0; place < 3; ++place) {
      journal.append(atlas_record_text({0, place}, entry_of(place)));
      ends.push_back(contents(path()).size());  // append() has put it there already
    }
  }
  const std::string whole = contents(path());
  std::mt19937 rng(3);
  for (int round = 0; round < 60; ++round) {
    const std::size_t cut =
        round < 8 ? ends[static_cast<std::size_t>(round) / 2] + round % 2 : ends[0] + rng() % (whole.size() - ends[0]);
    write(whole.substr(0, cut));
    AtlasJournal journal(path(), manifest, false);
    const auto finished = journal.take_finished();
    std::size_t expected = 0;
    while (expected + 1 < ends.size() && ends[expected + 1] <= cut) ++expected;
    EXPECT_EQ(finished.size(), expected) << "cut at " << cut;
    EXPECT_EQ(journal.damaged(), 0);
    journal.append(atlas_record_text({0, 4}, entry_of(4)));
    EXPECT_EQ(read_atlas_journal(path()).entries.size(), expected + 1) << "what is appended after a torn line is whole";
  }
}

TEST_F(AtlasJournalTest, DamagedLinesAreLeftOut) {
  const AtlasManifest manifest = manifest_of(1, 5);
  {
    AtlasJournal journal(path(), manifest, false);
    for (int place = 0; place < 4; ++place) journal.append(atlas_record_text({0, place}, entry_of(place)));
    journal.append(atlas_record_text({7, 7}, entry_of(1)));  // no head of this atlas
    HeadAtlasEntry other = entry_of(4);
    other.fit_errors.pop_back();
    journal.append(atlas_record_text({0, 4}, other));  // of other ks
  }
  std::string text = contents(path());
  const std::size_t second = text.find("\"head\":1");
  text[second + 40] ^= 1;
  write(text);
  const AtlasPart part = read_atlas_journal(path());
  EXPECT_EQ(part.damaged, 3);
  EXPECT_EQ(part.entries.size(), 3U);
  EXPECT_FALSE(part.entries.contains(1));
}

TEST_F(AtlasJournalTest, OfAnotherRunIsRefusedUnlessRestarted) {
  AtlasManifest manifest = manifest_of(1, 2);
  AtlasJournal(path(), manifest, false).append(atlas_record_text({0, 0}, entry_of(0)));
  manifest.options.band = 5;
  const std::string message = message_of<InvalidArgument>([&] { AtlasJournal(path(), manifest, false); });
  EXPECT_THAT(message, AllOf(HasSubstr("heads.csv.journal"), HasSubstr("band is 64 there and 5 here"), HasSubstr("--restart")));
  EXPECT_TRUE(AtlasJournal(path(), manifest, true).take_finished().empty());
  EXPECT_EQ(read_atlas_journal(path()).manifest.options.band, 5);
}

TEST_F(AtlasJournalTest, OtherFilesAreNoJournals) {
  EXPECT_THROW(read_atlas_journal(path()), FileError);
  const std::string manifest = atlas_manifest_text(manifest_of(1, 1));
  for (const std::string& bytes :
       {std::string(), std::string("layer,head\n0,1\n"), std::string("convscope atlas journal 2\n"),
        std::string("convscope atlas journal 1\n"), "convscope atlas journal 1\n" + manifest + "\n",
        "convscope atlas journal 1\n" + checksum("{}") + " {}\n", std::string(std::size_t{17} << 20U, 'x')}) {
    write(bytes);
    message_of<FileError>([&] { read_atlas_journal(path()); });
  }
  write("layer,head\n0,1\n and more than a heading has");
  EXPECT_THAT(message_of<FileError>([&] { AtlasJournal(path(), manifest_of(1, 1), false); }), HasSubstr("--restart"));
  EXPECT_NO_THROW(AtlasJournal(path(), manifest_of(1, 1), true));
}

TEST_F(AtlasJournalTest, FingerprintsTellFilesApart) {
  const auto fingerprint = [&](const std::string& name, double number, Index rows) {
    const fs::path file = path().parent_path() / name;
    Matrix<float> matrix = Matrix<float>::Constant(rows, 4, 0.5F);
    matrix(3, 1) = static_cast<float>(number);
    write_npy<float>(file, view(matrix));
    ActivationHints hints;
    for (auto* tensor : {&hints.query_name, &hints.key_name, &hints.value_name}) *tensor = file.stem().string();
    return fingerprint_of(Activations::open({file}, hints));
  };
  const std::string first = fingerprint("a.npy", 0.25, 9);
  EXPECT_EQ(first.size(), 16U);
  EXPECT_EQ(fingerprint("a.npy", 0.25, 9), first);
  EXPECT_NE(fingerprint("a.npy", 0.26, 9), first) << "another number";
  EXPECT_NE(fingerprint("a.npy", 0.25, 10), first) << "another shape";
  EXPECT_NE(fingerprint("b.npy", 0.25, 9), first) << "another name";
}

TEST_F(AtlasJournalTest, BegunButEmptyBeginsAnew) {
  for (const char* bytes : {"", "conv", "convscope atlas journal 1\n"}) {
    write(bytes);
    EXPECT_TRUE(AtlasJournal(path(), manifest_of(1, 1), false).take_finished().empty());
  }
}

}  // namespace
}  // namespace convbasis
