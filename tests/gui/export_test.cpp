// Exports without a window: provenance, commands, names, the report.
#include "core/errors.h"
#include "gui/support/export_fixture.h"
#include "state/export_values.h"
#include "state/export_wish.h"
#include "state/html_report.h"
#include "state/provenance.h"
#include "state/session.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace convscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

TEST_F(ExportTest, ShellWordsAreReadBackUnchanged) {
  EXPECT_EQ(shell_quoted("plain-1.0/file,name=x"), "plain-1.0/file,name=x");
  EXPECT_EQ(shell_quoted("two words"), "'two words'");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  // The shell itself is the reference.
  for (const std::string word :
       {"a b", "it's \"so\"", "$HOME `id` \\ !*?[a]~", "-x", "tab\there", "line\nbreak", "\u00fcber", "&;|<>#"}) {
    std::FILE* shell = ::popen(("printf %s " + shell_quoted(word)).c_str(), "r");
    ASSERT_NE(shell, nullptr);
    std::string read(256, '\0');
    read.resize(std::fread(read.data(), 1, read.size(), shell));
    ::pclose(shell);
    EXPECT_EQ(read, word);
  }
}

TEST_F(ExportTest, TheCommandNamesEveryParameter) {
  Provenance p = provenance_of(result_);
  EXPECT_EQ(reproducing_command(p),
            "convscope analyze --planted k=4,n=300,d=16,T=4,noise=0.001,spread=1.5,seed=7,value_width=5 --k 8 --T 4 --delta 0.25 "
            "--eps 0.001 --search binary");
  p.n = 100;
  EXPECT_THAT(reproducing_command(p), HasSubstr(" --n 100 --k 8"));
  p.recipe = FilesRecipe{{"/data/my model/it's.npy", "-k.npy"}};
  p.layer = 3;
  p.head = 7;
  p.options.search = convbasis::Search::scan;
  p.options.delta = 0.1;
  const std::string command = reproducing_command(p);
  EXPECT_THAT(command, testing::StartsWith("convscope analyze '/data/my model/it'\\''s.npy' "));
  EXPECT_THAT(command, Not(HasSubstr(" -k.npy")));
  EXPECT_THAT(command, HasSubstr("/-k.npy --layer 3 --head 7 --n 100 --k 8 --T 4 --delta 0.1 --eps 0.001 --search scan"));
}

TEST_F(ExportTest, TheCommandAndTheLineOfAFitNameWhatAFitHas) {
  Provenance p = provenance_of(result_);
  p.method = Method::fit;
  p.fit_options = {.band = 12, .columns = 3};
  p.options.k = 0;
  EXPECT_THAT(reproducing_command(p), testing::EndsWith(" --method fit --k 0 --band 12 --columns 3"));
  EXPECT_THAT(provenance_line(p), HasSubstr("method fit · k 0 (found 4) · band 12 · columns 3 · float32"));
  EXPECT_THAT(provenance_line(p), Not(HasSubstr("delta")));
}

TEST_F(ExportTest, TheCommandAndTheLineOfLowRankNameItsKind) {
  result_.request.method = Method::rank;
  result_.request.k = 5;
  result_.analysis = std::make_shared<const convbasis::HeadAnalysis<float>>(
      convbasis::analyze_head_by_rank<float>(result_.source->load(0, 0, 300), result_.request.rank_options()));
  EXPECT_THAT(reproducing_command(provenance_of(result_)), testing::EndsWith(" --method rank --rank-kind svd --k 5"));
  EXPECT_THAT(provenance_line(provenance_of(result_)), HasSubstr("method rank · kind svd · k 5 · float32"));
  EXPECT_THAT(html_report(result_, {}), testing::AllOf(HasSubstr("rank, truncated SVD"), Not(HasSubstr("Segments"))));
  write_factors(npy("factors.npy"), analysis().rank->factors);
  write_factors(csv("factors.csv"), analysis().rank->factors);
  result_.request.rank_kind = convbasis::RankKind::features;
  result_.analysis = std::make_shared<const convbasis::HeadAnalysis<float>>(
      convbasis::analyze_head_by_rank<float>(result_.source->load(0, 0, 300), result_.request.rank_options()));
  EXPECT_THAT(reproducing_command(provenance_of(result_)), testing::EndsWith(" --method rank --rank-kind features --degree 2"));
  EXPECT_THAT(provenance_line(provenance_of(result_)), HasSubstr("kind features · degree 2 · features 153"));
  EXPECT_THAT(html_report(result_, {}), HasSubstr("rank, polynomial features"));
  const Csv read = read_csv(folder_ / "factors.csv");
  EXPECT_EQ(read.rows.size(), 300U);
  ASSERT_EQ(read.names.size(), 11U);
  EXPECT_EQ(read.names[1], "u_1");
  EXPECT_EQ(read.names[10], "v_5");
  const NpyArray both = read_npy(folder_ / "factors.npy");
  EXPECT_EQ(both.columns, 10U);
  EXPECT_TRUE(same_float(read.rows[299][6], both.at(299, 5)));
}

TEST_F(ExportTest, TheCommandNamesWhoIsQueryKeyAndValue) {
  Provenance p = provenance_of(result_);
  FilesRecipe files{{"/data/a.npz"}};
  files.hints.query_name = "block {L}/a";
  files.hints.key_name = "-b";
  files.hints.value_name = "c";
  files.hints.layout = "n(hd)";
  files.hints.heads = 4;
  p.recipe = files;
  EXPECT_THAT(reproducing_command(p), testing::StartsWith("convscope analyze /data/a.npz --q 'block {L}/a' --k-tensor=-b --v c "
                                                          "--layout 'n(hd)' --heads 4 --layer 0"));
  files.hints = {};
  files.hints.attention_name = "w{L}";
  files.hints.attention_kind = convbasis::AttentionKind::scores;
  p.recipe = files;
  EXPECT_THAT(reproducing_command(p), HasSubstr(" /data/a.npz --attention 'w{L}' --attention-kind scores --layer 0"));
}

TEST_F(ExportTest, TheLineIsOneLineWhateverTheFileIsCalled) {
  Provenance p = provenance_of(result_);
  p.name = "evil\nname\r\x01\x7F \xFF\xC3(\xE2\x80\xA8.npy \xCE\xB1";
  const std::string line = provenance_line(p);
  EXPECT_THAT(line, Not(testing::ContainsRegex("[\n\r\x01\x7F]")));
  EXPECT_THAT(line, HasSubstr("evil name    \xEF\xBF\xBD\xEF\xBF\xBD( .npy \xCE\xB1 "));
  for (const char* part : {"layer 0", "head 0", "n 300", "k 8 (found 4)", "T 4", "delta 0.25", "eps 0.001", "search binary",
                           "method recover", "convscope ", "seed=7"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
}

TEST_F(ExportTest, NamesAreSafeAndEndAsTheirFormat) {
  Provenance p = provenance_of(result_);
  p.name = "../we ird/na<me>.safetensors";
  p.layer = 18;
  p.head = 8;
  EXPECT_EQ(suggested_name(p, {.item = ExportItem::exact_map}), "na-me--L18-H8-exact-map.png");
  p.name = "...";
  EXPECT_EQ(suggested_name(p, {.item = ExportItem::report, .format = ExportFormat::html}), "head-L18-H8-report.html");
  EXPECT_EQ(with_ending("a/b", ExportFormat::csv), "a/b.csv");
  EXPECT_EQ(with_ending("a/b.PNG", ExportFormat::png), "a/b.PNG");
  EXPECT_EQ(with_ending("a/b.png", ExportFormat::csv), "a/b.csv");
  EXPECT_EQ(with_ending("a/b-1.5", ExportFormat::npy), "a/b-1.5.npy");
  EXPECT_NE(problem_of({}), "");
  EXPECT_THAT(problem_of({.path = folder_}), HasSubstr("is a folder"));
  EXPECT_THAT(problem_of({.path = folder_ / "none" / "x.png"}), HasSubstr("does not exist"));
  EXPECT_EQ(problem_of({.path = folder_ / "x.png"}), "");
  EXPECT_EQ(problem_of({.path = "x.png"}), "");
}

TEST_F(ExportTest, Base64IsThatOfTheStandard) {
  // RFC 4648, section 10.
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64(std::string("\xFF\x00\xFE", 3)), "/wD+");
}

TEST_F(ExportTest, TheReportEscapesWhatItDidNotWrite) {
  EXPECT_EQ(html_escaped("<script>'&\"\n\xFF"), "&lt;script&gt;&#39;&amp;&quot; \xEF\xBF\xBD");
  // A real file with a hostile name, and with hostile metadata.
  const auto path = folder_ / "<script>alert(1)<script>.safetensors";
  std::string header = R"({"__metadata__":{"model":"<img src=x onerror=alert(2)>","tokens":"[\"<script>\",\"b\",\"c\",\"d\"]"},)";
  std::size_t at = 0;
  for (const char* name : {"q", "k", "v"}) {
    header += fmt::format(R"("layers.0.{}":{{"dtype":"F32","shape":[1,4,2],"data_offsets":[{},{}]}}{})", name, at, at + 32,
                          at < 64 ? "," : "}");
    at += 32;
  }
  std::ofstream stream(path, std::ios::binary);
  const std::uint64_t length = header.size();
  stream.write(reinterpret_cast<const char*>(&length), 8);
  stream << header;
  for (int i = 0; i < 24; ++i) {
    const float value = 0.1F * static_cast<float>(i);
    stream.write(reinterpret_cast<const char*>(&value), 4);
  }
  stream.close();
  result_.source = std::make_shared<const Source>(2, SourceRecipe(FilesRecipe{{path}}));
  result_.request = {.source = 2, .n = 4, .k = 2, .T = 2};
  analyse();
  const std::string page = html_report(result_, {{"<b>picture</b>", "not a png", "", 300}});
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_THAT(page, HasSubstr("&lt;img src=x onerror=alert(2)&gt;"));
  EXPECT_THAT(page, HasSubstr("<td>&lt;script&gt;</td>"));  // a token
  EXPECT_THAT(page, HasSubstr("data:image/png;base64,bm90IGEgcG5n"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
  EXPECT_THAT(page, Not(HasSubstr("https://")));
}

TEST_F(ExportTest, TheReportTellsTheNumbers) {
  const std::string page = html_report(result_, {});
  EXPECT_THAT(page, HasSubstr(html_escaped(provenance_line(provenance_of(result_)))));
  EXPECT_THAT(page, HasSubstr(html_escaped(reproducing_command(provenance_of(result_)))));
  EXPECT_THAT(page, HasSubstr(fmt::format("<td class=\"number\">{}</td>", analysis().recovery.basis.start(1))));
  EXPECT_THAT(page, HasSubstr(html_escaped(analysis().apply.path)));
}

}  // namespace
}  // namespace convscope
