// The verb atlas: the same bytes whoever computes them, and nothing lost whenever it is stopped.

#include "cli/process.h"
#include "cli/safetensors_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <limits>
#include <sstream>

namespace convscope::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

std::string contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// A folder with a small model of six heads.
class Atlas : public ::testing::Test {
 protected:
  Atlas() {
    file_.heads = 6;
    file_.kv_heads = 2;
    file_.n = 48;
    file_.d = 8;
    save();
  }
  void save() { folder_.write("model.safetensors", file_.bytes()); }

  ProcessResult run(const Words& arguments, const RunOptions& options = {}) const {
    Words words = {"atlas"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run_convscope(words, folder_.path(), options);
  }
  /// Runs it to a good end, silently but for standard output, which it returns.
  std::string good(const Words& arguments) const {
    const ProcessResult result = run(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out;
  }
  void expect_refused(const Words& arguments, int exit_code, const ::testing::Matcher<std::string>& message) const {
    const ProcessResult result = run(arguments);
    EXPECT_EQ(result.exit_code, exit_code);
    EXPECT_THAT(result.err, message);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  std::string read(const std::string& name) const { return contents(folder_.path() / name); }
  std::vector<std::string> lines(const std::string& name) const {
    std::istringstream text(read(name));
    std::vector<std::string> all;
    for (std::string line; std::getline(text, line);) all.push_back(line);
    return all;
  }

  Activations file_;
  TemporaryFolder folder_;
};

TEST_F(Atlas, WritesEveryHeadInOrder) {
  EXPECT_EQ(good({"model.safetensors", "--csv", "heads.csv", "--json", "heads.json", "--html", "heads.html"}), "");
  EXPECT_EQ(folder_.names(), (Words{"heads.csv", "heads.html", "heads.json", "model.safetensors"})) << "no journal stays";
  const auto csv = lines("heads.csv");
  ASSERT_EQ(csv.size(), 8U);
  EXPECT_THAT(csv[0], AllOf(StartsWith("# convscope "), HasSubstr("model.safetensors"), HasSubstr("target 0.1")));
  EXPECT_THAT(csv[1], StartsWith("layer,head,n,k_for_target,entropy_bits,relative_entropy,sink_mass,band_mass,recover_error_k4,"
                                 "recover_error_k16,fit_error_k4,fit_error_k16,rank_error_k4,rank_error_k16,"));
  const json result = json::parse(read("heads.json"));
  ASSERT_EQ(result["heads"].size(), 6U);
  for (std::size_t head = 0; head < 6; ++head) {
    EXPECT_THAT(csv[2 + head], StartsWith("0," + std::to_string(head) + ",48,"));
    EXPECT_EQ(result["heads"][head]["head"], head);
    EXPECT_EQ(std::count(csv[2 + head].begin(), csv[2 + head].end(), ','), std::count(csv[1].begin(), csv[1].end(), ','));
  }
  EXPECT_TRUE(result["medians"]["rank_one_error"].is_number());
}

TEST_F(Atlas, SameBytesWhateverTheThreads) {
  good({"model.safetensors", "--csv", "one.csv", "--html", "one.html", "--json", "one.json", "--threads", "1"});
  good({"model.safetensors", "--csv", "many.csv", "--html", "many.html", "--json", "many.json", "--threads", "13"});
  EXPECT_EQ(read("one.csv"), read("many.csv"));
  EXPECT_EQ(read("one.json"), read("many.json"));
  EXPECT_EQ(read("one.html"), read("many.html"));
}

TEST_F(Atlas, ShardsMakeTheSameBytes) {
  good({"model.safetensors", "--csv", "whole.csv", "--html", "whole.html"});
  for (const char* shard : {"3/4", "1/4", "4/4", "2/4"}) {
    EXPECT_THAT(good({"model.safetensors", "--csv", "heads.csv", "--shard", shard}), HasSubstr("--merge"));
  }
  const Words parts = {"heads.csv.shard-2-of-4", "heads.csv.shard-1-of-4", "heads.csv.shard-4-of-4", "heads.csv.shard-3-of-4"};
  for (const std::string& part : parts) EXPECT_TRUE(std::filesystem::exists(folder_.path() / part));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "heads.csv"));
  Words merge = {"--merge", "--csv", "heads.csv", "--html", "heads.html"};
  merge.insert(merge.end(), parts.begin(), parts.end());
  EXPECT_EQ(good(merge), "");
  EXPECT_EQ(read("heads.csv"), read("whole.csv"));
  EXPECT_EQ(read("heads.html"), read("whole.html"));
  expect_refused({"--merge", "--csv", "x.csv", parts[0], parts[1], parts[2]}, 2,
                 HasSubstr("1 of 6 heads are in none of these parts, the first of them layer 0 head 2"));
  good({"model.safetensors", "--csv", "other.csv", "--shard", "1/2", "--k", "3"});
  expect_refused({"--merge", "--csv", "x.csv", parts[0], "other.csv.shard-1-of-2"}, 2,
                 HasSubstr("k is [4,16] there and [3] here"));
  expect_refused({"--merge", "--csv", "x.csv", "model.safetensors"}, 3, HasSubstr("is no journal"));
}

TEST_F(Atlas, SelectsHeadsAndOptions) {
  good({"model.safetensors", "--csv", "a.csv", "--head", "1,3-4", "--layer", "0", "--n", "20", "--k", "5,2", "--no-ladder"});
  const auto csv = lines("a.csv");
  ASSERT_EQ(csv.size(), 5U);
  EXPECT_EQ(
      csv[1],
      "layer,head,n,k_for_target,entropy_bits,relative_entropy,sink_mass,band_mass,recover_error_k2,recover_error_k5,failure");
  EXPECT_THAT(csv[2], StartsWith("0,1,20,"));
  EXPECT_THAT(csv[4], StartsWith("0,4,20,"));
}

TEST_F(Atlas, AgreesWithAnalyze) {
  good({"model.safetensors", "--csv", "a.csv", "--json", "a.json", "--k", "3", "--precision", "f64"});
  const json atlas = json::parse(read("a.json"));
  for (const char* head : {"0", "5"}) {
    const ProcessResult result = run_convscope(
        {"analyze", "model.safetensors", "--head", head, "--k", "3", "--precision", "f64", "--json"}, folder_.path());
    const double error = json::parse(result.out)["relative_error"];
    EXPECT_NEAR(atlas["heads"][std::stoul(head)]["recover_errors"][0].get<double>(), error, 1e-12);
  }
}

TEST_F(Atlas, PrintsMediansWithoutAnOutput) {
  EXPECT_THAT(good({"model.safetensors"}),
              AllOf(HasSubstr("+ rank one"), HasSubstr("first rung within 10 %"), HasSubstr("sink mass")));
  const json result = json::parse(good({"model.safetensors", "--json", "-"}));
  EXPECT_EQ(result["heads"].size(), 6U);
  EXPECT_EQ(folder_.names(), Words{"model.safetensors"});
}

TEST_F(Atlas, AHeadThatFailsIsToldAndTheOthersStay) {
  file_.one_value = std::numeric_limits<float>::quiet_NaN();  // the last head's last query
  save();
  const ProcessResult result = run({"model.safetensors", "--csv", "a.csv", "--html", "a.html"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, AllOf(StartsWith("convscope: warning: 1 of 6 heads failed"), HasSubstr("row 47, column 7 is nan")));
  const auto csv = lines("a.csv");
  ASSERT_EQ(csv.size(), 8U);
  EXPECT_THAT(csv[7], AllOf(StartsWith("0,5,0,,,"), HasSubstr("row 47, column 7 is nan")));
  EXPECT_THAT(csv[6], Not(HasSubstr("nan")));
  expect_refused({"model.safetensors", "--head", "5", "--csv", "b.csv"}, 1, HasSubstr("every head failed"));
}

TEST_F(Atlas, NamesFromFilesCannotLeaveThePagesData) {
  file_.metadata = {{"model", "</script><script>alert(1)</script><!-- \" ' & \u2028"}};
  save();
  good({"model.safetensors", "--html", "a.html", "--csv", "a.csv"});
  const std::string page = read("a.html");
  const std::size_t begin = page.find("id=\"data\">") + 10;
  const std::string data = page.substr(begin, page.find("</script>", begin) - begin);
  EXPECT_EQ(json::parse(data)["model"], file_.metadata["model"]);
  EXPECT_EQ(data.find('<'), std::string::npos);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  for (const char* outside : {"http://", "https://", "src=", "@import", "url("})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
}

TEST_F(Atlas, SaysWhatIsWrong) {
  expect_refused({"model.safetensors", "--csv", "no/a.csv"}, 2, HasSubstr("there is no folder no"));
  expect_refused({"model.safetensors", "--csv", "a", "--html", "a"}, 2, HasSubstr("--html names a file"));
  expect_refused({"model.safetensors", "--csv", "-"}, 2, HasSubstr("only --json can be -"));
  expect_refused({"model.safetensors", "--shard", "1/2"}, 2, HasSubstr("--shard needs --csv"));
  for (const char* shard : {"0/2", "3/2", "2", "a/b", "1/2/3", "-1/2", "1/"}) {
    expect_refused({"model.safetensors", "--csv", "a.csv", "--shard=" + std::string(shard)}, 2, HasSubstr("--shard"));
  }
  expect_refused({"model.safetensors", "--head", "6"}, 2, HasSubstr("heads 0 to 5"));
  expect_refused({"model.safetensors", "--head", "2-1"}, 2, HasSubstr("no range"));
  expect_refused({"model.safetensors", "--head", "1,x"}, 2, HasSubstr("'x' is no whole number"));
  expect_refused({"model.safetensors", "--head", "0-99999999999"}, 2, HasSubstr("no range"));
  expect_refused({"model.safetensors", "--layer", "1"}, 2, HasSubstr("layer 1"));
  expect_refused({"model.safetensors", "--n", "49"}, 2, HasSubstr("n is 49; the longest of these heads has 48 tokens"));
  expect_refused({"model.safetensors", "--k", "0"}, 2, HasSubstr("ks holds 0"));
  expect_refused({"model.safetensors", "--band", "-1"}, 2, HasSubstr("band is -1"));
  expect_refused({"model.safetensors", "--target", "0"}, 2, HasSubstr("target_error is 0"));
  expect_refused({"--merge"}, 2, HasSubstr("--merge needs the parts"));
  expect_refused({"--merge", "--shard", "1/2", "a"}, 2, HasSubstr("give one of them"));
  expect_refused({"missing.safetensors"}, 3, HasSubstr("missing.safetensors"));
  EXPECT_EQ(folder_.names(), Words{"model.safetensors"});
}

/// Some heads of the built-in example, for about a second of work: enough to be killed in the middle of.
const Words slow = {"--layer", "0-2", "--head", "0-3", "--n", "400", "--csv", "heads.csv"};

TEST_F(Atlas, KilledRunsGoOn) {
  good(slow);
  const std::string whole = read("heads.csv");
  const auto journal = folder_.path() / "heads.csv.journal";
  std::filesystem::remove(folder_.path() / "heads.csv");
  std::size_t most_lines = 0;
  for (int kill = 0; kill < 3; ++kill) {
    run(slow, {.signal = Signal{SIGKILL, std::chrono::milliseconds(150 + 130 * kill)}});
    if (!std::filesystem::exists(journal)) break;  // a quick machine was done before
    const std::size_t now = lines("heads.csv.journal").size();
    EXPECT_GE(now, most_lines) << "what was finished stays";
    most_lines = std::max(most_lines, now);
  }
  good(slow);
  EXPECT_EQ(read("heads.csv"), whole);
  EXPECT_FALSE(std::filesystem::exists(journal));
}

TEST_F(Atlas, FinishedHeadsAreNotComputedAgain) {
  good({"model.safetensors", "--csv", "old.csv", "--shard", "1/1", "--threads", "1"});  // its part is a journal, and stays
  const auto part = lines("old.csv.shard-1-of-1");
  ASSERT_EQ(part.size(), 8U);
  folder_.write("a.csv.journal", part[0] + "\n" + part[1] + "\n" + part[7] + "\n");  // the last head alone
  good({"--merge", "old.csv.shard-1-of-1", "--csv", "old.csv"});
  file_.one_value = 5.0F;  // of the last head, and beyond what the fingerprint looks at
  save();
  good({"model.safetensors", "--csv", "new.csv"});
  good({"model.safetensors", "--csv", "a.csv"});
  const auto rows = lines("a.csv"), old_rows = lines("old.csv"), new_rows = lines("new.csv");
  ASSERT_EQ(rows.size(), 8U);
  EXPECT_EQ(rows[7], old_rows[7]) << "taken from the journal";
  EXPECT_NE(rows[7], new_rows[7]);
  EXPECT_EQ(rows[6], new_rows[6]);
}

TEST_F(Atlas, AJournalOfOtherOptionsIsRefused) {
  good({"model.safetensors", "--csv", "a.csv", "--shard", "1/1"});
  std::filesystem::rename(folder_.path() / "a.csv.shard-1-of-1", folder_.path() / "a.csv.journal");
  expect_refused({"model.safetensors", "--csv", "a.csv", "--band", "3"}, 2,
                 AllOf(HasSubstr("band is 64 there and 3 here"), HasSubstr("--restart")));
  file_.metadata = {{"model", "another"}};
  save();
  expect_refused({"model.safetensors", "--csv", "a.csv"}, 2, HasSubstr("the model is  there and another here"));
  good({"model.safetensors", "--csv", "a.csv", "--restart"});
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "a.csv.journal"));
}

class AtlasInterrupt : public Atlas, public ::testing::WithParamInterface<int> {};

TEST_P(AtlasInterrupt, StopsSoonAndKeepsTheJournal) {
  Words long_work = slow;
  long_work[1] = "0-2,5,8,11";
  const ProcessResult result = run(long_work, {.signal = Signal{GetParam(), std::chrono::milliseconds(400)}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "convscope: cancelled\n");
  EXPECT_LT(result.after_signal.count(), 2.0);  // 0.1 s is meant; a loaded machine may need longer to let it run
  EXPECT_EQ(folder_.names(), (Words{"heads.csv.journal", "model.safetensors"}));
}

INSTANTIATE_TEST_SUITE_P(Cli, AtlasInterrupt, ::testing::Values(SIGINT, SIGTERM));

}  // namespace
}  // namespace convscope::testing
