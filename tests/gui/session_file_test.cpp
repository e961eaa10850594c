// Session files: there and back, broken in many ways, and with the process killed while it saves.

#include "state/session_file.h"
#include "core/errors.h"
#include "state/user_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace convscope {
namespace {

namespace fs = std::filesystem;

bool same_source(const SavedSession& a, const SavedSession& b) {
  if (a.source.index() != b.source.index()) return false;
  if (const auto* files = std::get_if<FilesRecipe>(&a.source)) return *files == std::get<1>(b.source);
  if (std::holds_alternative<ExampleRecipe>(a.source)) return true;
  const auto& p = std::get<2>(a.source);
  const auto& q = std::get<2>(b.source);
  return p.n == q.n && p.d == q.d && p.value_width == q.value_width && p.k == q.k && p.T == q.T && p.noise == q.noise &&
         p.spread == q.spread && p.seed == q.seed;
}

bool same(const SavedSession& a, const SavedSession& b) {
  AnalysisRequest request = b.request;
  request.source = a.request.source;
  return same_source(a, b) && a.request == request && a.view == b.view && a.pinned == b.pinned && a.preset == b.preset &&
         a.panels == b.panels && a.dark == b.dark && a.ui_scale == b.ui_scale && a.training == b.training;
}

Index any_index(Index least) { return *rc::gen::inRange<Index>(least, Index{1} << 40U); }

double any_number() {
  return std::ldexp(static_cast<double>(*rc::gen::inRange<Index>(0, Index{1} << 52U)), *rc::gen::inRange(-300, 300));
}

template <class Choice>
Choice any_of(std::vector<Choice> choices) {
  return *rc::gen::elementOf(std::move(choices));
}

convbasis::ActivationHints any_hints() {
  convbasis::ActivationHints hints;
  const auto maybe = [](std::optional<std::string>& name) {
    if (*rc::gen::arbitrary<bool>()) name = any_of<std::string>({"blocks.{L}.\u00e4", "a \"b\" c", "-x"});
  };
  for (auto* name : {&hints.query_name, &hints.key_name, &hints.value_name, &hints.attention_name, &hints.layout}) maybe(*name);
  if (*rc::gen::arbitrary<bool>()) hints.heads = any_index(1);
  using convbasis::AttentionKind;
  if (*rc::gen::arbitrary<bool>())
    hints.attention_kind = any_of<AttentionKind>({AttentionKind::probabilities, AttentionKind::scores});
  return hints;
}

TrainingRequest any_training() {
  TrainingRequest request;
  request.problem.n = *rc::gen::inRange<Index>(16, 8192);
  request.problem.d = 2 * *rc::gen::inRange<Index>(1, 32);
  request.problem.k = *rc::gen::inRange<Index>(1, 4);
  request.problem.T = *rc::gen::inRange<Index>(1, 4);
  request.problem.noise = any_number();
  request.problem.seed = *rc::gen::arbitrary<std::uint64_t>();
  request.optimiser = any_of<convbasis::Optimiser>({convbasis::Optimiser::gradient_descent, convbasis::Optimiser::adam});
  request.rate = any_number();
  request.parameters = any_of<convbasis::Parameters>({convbasis::Parameters::tied, convbasis::Parameters::free});
  request.steps = *rc::gen::inRange(50, 10000);
  request.recover_every = *rc::gen::inRange(1, 50);
  request.between = any_of<convbasis::Between>({convbasis::Between::starts, convbasis::Between::basis});
  request.precision = any_of<Precision>({Precision::f64, Precision::f32});
  request.wanted = {*rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>(), true};
  return request;
}

SavedSession any_session() {
  SavedSession session;
  switch (*rc::gen::inRange(0, 3)) {
    case 0:
      session.source = FilesRecipe{{"/data/below/q.npy", "/elsewhere/k.npy", "/data/\u00e4 b\"c.safetensors"}, any_hints()};
      break;
    case 1:
      session.source = convbasis::PlantedOptions{.n = any_index(1),
                                                 .d = any_index(2),
                                                 .k = any_index(1),
                                                 .noise = any_number(),
                                                 .seed = *rc::gen::arbitrary<std::uint64_t>()};
      break;
    default:
      session.source = ExampleRecipe{};
  }
  session.request.layer = any_index(0);
  session.request.head = any_index(0);
  session.request.n = any_index(1);
  session.request.method = any_of<Method>({Method::recover, Method::fit, Method::rank});
  session.request.k = any_index(session.request.method == Method::fit ? 0 : 1);
  session.request.rank_kind = any_of<convbasis::RankKind>({convbasis::RankKind::svd, convbasis::RankKind::features});
  session.request.degree = *rc::gen::inRange<Index>(0, convbasis::max_exp_degree + 1);
  session.request.band = any_index(0);
  session.request.columns = any_index(0);
  session.request.T = any_index(1);
  session.request.delta = any_number();
  session.request.eps = any_number();
  session.request.search = any_of<convbasis::Search>({convbasis::Search::binary, convbasis::Search::scan});
  session.request.all_rows = *rc::gen::arbitrary<bool>();
  for (Index start = 0, count = *rc::gen::inRange(0, 5); count > 0; --count, start += 1 + count) {
    session.request.starts.push_back(start);
  }
  MapView view;
  view.window = {static_cast<double>(any_index(0)) / 7.0, static_cast<double>(any_index(0)) / 3.0, 1.0 / 3.0};
  view.quantity = any_of<convbasis::MapQuantity>({convbasis::MapQuantity::probability, convbasis::MapQuantity::score});
  view.pooling = any_of<convbasis::Pooling>({convbasis::Pooling::mean, convbasis::Pooling::peak});
  view.scale = any_of<ScaleKind>({ScaleKind::linear, ScaleKind::log, ScaleKind::symlog});
  view.colour_map = any_of<ColourMap>({ColourMap::viridis, ColourMap::cividis, ColourMap::magma, ColourMap::grey});
  view.range_locked = *rc::gen::arbitrary<bool>();
  view.range = {-any_number() - 1.0, any_number()};
  view.residual_limit = 1e-300 + any_number();
  session.view = settings_of(view);
  if (*rc::gen::arbitrary<bool>()) session.pinned = CellIndex{any_index(0), any_index(0)};
  session.preset = any_of<LayoutPreset>({LayoutPreset::explore, LayoutPreset::teach, LayoutPreset::compare, LayoutPreset::train});
  session.panels = {"source", "log"};
  session.dark = *rc::gen::arbitrary<bool>();
  session.ui_scale = 0.5 + *rc::gen::inRange(0, 350) / 100.0;
  session.training = any_training();
  return session;
}

RC_GTEST_PROP(SessionFile, ComesBackAsItWasWritten, ()) {
  const SavedSession session = any_session();
  const SavedSession back = parse_session(session_text(session, "/data"), "/data/name.convscope.json");
  RC_ASSERT(same(session, back));
}

TEST(SessionFile, NamesFilesBelowItRelatively) {
  SavedSession session;
  session.source = FilesRecipe{{"/data/run/q.npy", "/other/k.npy", "/database/v.npy"}};
  const std::string text = session_text(session, "/data");
  EXPECT_THAT(text, testing::HasSubstr("\"run/q.npy\""));
  EXPECT_THAT(text, testing::HasSubstr("\"/other/k.npy\""));
  EXPECT_THAT(text, testing::HasSubstr("\"/database/v.npy\""));
  // Moved together with its files, the session still finds them.
  const SavedSession moved = parse_session(text, "/new/place/s.convscope.json");
  EXPECT_THAT(std::get<1>(moved.source).paths, testing::ElementsAre("/new/place/run/q.npy", "/other/k.npy", "/database/v.npy"));
}

/// The error's text, or "" when the session was read.
std::string problem_with(const std::string& text) {
  try {
    parse_session(text, "/data/s.convscope.json");
    return "";
  } catch (const convbasis::FileError& error) {
    return error.what();
  }
}

std::string with(const std::string& fields) {
  return R"({"convscope_session": 1, "source": {"example": true})" + (fields.empty() ? "" : ", " + fields) + "}";
}

TEST(SessionFile, MissingAndUnknownFieldsAreFine) {
  EXPECT_EQ(problem_with(with("")), "");
  EXPECT_EQ(problem_with(with(R"("future": [1, {"x": null}], "view": {"also": 3})")), "");
}

TEST(SessionFile, ErrorsNameTheFieldWhatWasFoundAndWhatIsRight) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases{
      {"", {"not JSON"}},
      {"{\"convscope_session\": 1", {"not JSON", "byte"}},
      {"[]", {"a list", "must be an object"}},
      {"{}", {"convscope_session 0", "version 1"}},
      {R"({"convscope_session": 2})", {"convscope_session 2", "version 1"}},
      {R"({"convscope_session": "1"})", {"convscope_session is \"1\"", "whole number"}},
      {R"({"convscope_session": 1})", {"source", "one of them"}},
      {R"({"convscope_session": 1, "source": {"example": true, "files": ["a"]}})", {"source has 2", "one of them"}},
      {R"({"convscope_session": 1, "source": {"files": []}})", {"source has no files"}},
      {R"({"convscope_session": 1, "source": {"files": "a.npy"}})", {"source.files is \"a.npy\"", "list"}},
      {R"({"convscope_session": 1, "source": {"files": ["a", 7]}})", {"source.files is 7"}},
      {R"({"convscope_session": 1, "source": {"files": ["a\nb"]}})", {"source.files"}},
      {R"({"convscope_session": 1, "source": {"files": ["a"], "roles": {"query": 7}}})", {"source.roles.query is 7", "a name"}},
      {R"({"convscope_session": 1, "source": {"files": ["a"], "roles": {"heads": 0}}})", {"source.roles.heads is 0", "from 1"}},
      {R"({"convscope_session": 1, "source": {"files": ["a"], "roles": {"attention_kind": "logits"}}})",
       {"source.roles.attention_kind", "one of probabilities, scores"}},
      {R"({"convscope_session": 1, "source": {"planted": {"d": 1}}})", {"source.planted.d is 1", "from 2"}},
      {R"({"convscope_session": 1, "source": {"planted": {"seed": -1}}})", {"source.planted.seed is -1", "not negative"}},
      {with(R"("request": 3)"), {"request is 3", "object"}},
      {with(R"("request": {"n": 0})"), {"request.n is 0", "from 1"}},
      {with(R"("request": {"n": 1.5})"), {"request.n is 1.5", "whole number"}},
      {with(R"("request": {"n": 18446744073709551615})"), {"request.n is 18446744073709551615"}},
      {with(R"("request": {"method": "magic"})"), {"request.method is \"magic\"", "fit", "rank"}},
      {with(R"("request": {"rank_kind": "qr"})"), {"request.rank_kind is \"qr\"", "one of svd, features"}},
      {with(R"("request": {"degree": 17})"), {"request.degree is 17", "from 0 to 16"}},
      {with(R"("request": {"k": 0})"), {"request.k is 0", "from 1"}},
      {with(R"("request": {"band": -1})"), {"request.band is -1", "from 0"}},
      {with(R"("request": {"eps": null})"), {"request.eps is null", "a number"}},
      {with(R"("request": {"eps": -1})"), {"request.eps is -1"}},
      {with(R"("request": {"eps": 1e999})"), {"out of range"}},
      {with(R"("request": {"starts": [0, 5, 5]})"), {"request.starts is 5", "a rising list"}},
      {with(R"("request": {"starts": [0, -5]})"), {"request.starts is -5", "a rising list"}},
      {with(R"("request": {"starts": {}})"), {"request.starts is an object", "a rising list"}},
      {with(R"("request": {"search": "fast"})"), {"request.search is \"fast\"", "one of binary, scan"}},
      {with(R"("view": {"scale": "cubic"})"), {"view.scale is \"cubic\"", "one of linear, log, symlog"}},
      {with(R"("view": {"colours": "diverging"})"), {"view.colours", "viridis"}},
      {with(R"("view": {"range_locked": 1})"), {"view.range_locked is 1", "true or false"}},
      {with(R"("view": {"range_locked": true, "range": {"low": 2, "high": 1}})"), {"view.range", "low must be below high"}},
      {with(R"("view": {"window": {"extent": "all"}})"), {"view.window.extent is \"all\""}},
      {with(R"("view": {"pinned": {"row": -1}})"), {"view.pinned.row is -1"}},
      {with(R"("look": {"ui_scale": 90})"), {"look.ui_scale is 90", "from 0.5 to 4"}},
      {with(R"("look": {"theme": "blue"})"), {"look.theme is \"blue\"", "one of dark, light"}},
      {with(R"("look": {"layout": [1]})"), {"look.layout is a list", "explore"}},
      {with(R"("x": )" + std::string(500000, '[')), {"nested"}},
  };
  for (const auto& [text, words] : cases) {
    const std::string problem = problem_with(text);
    EXPECT_THAT(problem, testing::StartsWith("/data/s.convscope.json: ")) << text.substr(0, 100);
    for (const std::string& word : words) EXPECT_THAT(problem, testing::HasSubstr(word)) << text.substr(0, 100);
    EXPECT_EQ(problem.find('\n'), std::string::npos);
    EXPECT_LT(problem.size(), 300U);
  }
}

RC_GTEST_PROP(SessionFile, DamageIsAnErrorOrASessionNeverACrash, ()) {
  std::string text = session_text(any_session(), "/data");
  for (int change = *rc::gen::inRange(1, 6); change > 0; --change) {
    const auto place = *rc::gen::inRange<std::size_t>(0, text.size());
    text[place] = static_cast<char>(*rc::gen::inRange(0, 256));
  }
  text.resize(*rc::gen::inRange<std::size_t>(0, text.size() + 1));
  try {
    const SavedSession session = parse_session(text, "/data/s.convscope.json");
    RC_ASSERT(session.request.n >= 1 && session.ui_scale >= 0.5 && session.ui_scale <= 4.0);
  } catch (const convbasis::FileError& error) {
    RC_ASSERT(std::string(error.what()).starts_with("/data/s.convscope.json: "));
  }
}

class SessionFolder : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_ = fs::path(testing::TempDir()) /
                     (std::string("convscope_session_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::path path_ = folder_ / "last.convscope.json";
};

TEST_F(SessionFolder, MissingHugeAndOddFilesAreErrors) {
  EXPECT_THROW(load_session(path_), convbasis::FileError);
  EXPECT_THROW(load_session(folder_), convbasis::FileError);
  std::ofstream(path_) << with("\"x\": \"" + std::string(2 << 20U, ' ') + "\"");
  EXPECT_THROW(load_session(path_), convbasis::FileError);
}

TEST_F(SessionFolder, LastOneIsRestoredOnlyWithItsFiles) {
  EXPECT_FALSE(load_last_session(path_).session);
  EXPECT_EQ(load_last_session(path_).warning, "");
  SavedSession session;
  session.source = FilesRecipe{{folder_ / "q.npy"}};
  save_session(path_, session);
  EXPECT_FALSE(load_last_session(path_).session) << "the file is not there";
  EXPECT_EQ(load_last_session(path_).warning, "");
  std::ofstream(folder_ / "q.npy") << "tensor";
  ASSERT_TRUE(load_last_session(path_).session);
  EXPECT_TRUE(same(*load_last_session(path_).session, session));
}

TEST_F(SessionFolder, BrokenLastOneIsKeptAside) {
  std::ofstream(path_) << "{\"convscope_session\": 1, \"source\"";
  const LastSession last = load_last_session(path_);
  EXPECT_FALSE(last.session);
  EXPECT_THAT(last.warning, testing::HasSubstr("last.convscope.json.broken"));
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(fs::exists(path_.string() + ".broken"));
}

/// A session that says its number in several places, so that a mixture of two is noticed.
SavedSession numbered(Index number) {
  SavedSession session;
  session.source = FilesRecipe{std::vector<fs::path>(50, "/data/" + std::to_string(number) + ".npy")};
  session.request.n = session.request.k = session.request.T = number;
  return session;
}

TEST_F(SessionFolder, KilledWhileSavingLeavesTheOldOrTheNewOne) {
  Index newest = 1;
  save_session(path_, numbered(newest));
  std::minstd_rand random(7);
  Index kills_after_a_save = 0;
  for (int round = 0; round < 100; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (Index number = newest + 1;; ++number) save_session(path_, numbered(number));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500 + random() % 8000));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    const SavedSession found = load_session(path_);  // throws when it is neither
    const Index number = found.request.n;
    ASSERT_GE(number, newest);
    ASSERT_TRUE(same(found, numbered(number))) << "a mixture of sessions";
    if (number > newest) ++kills_after_a_save;
    newest = number;
  }
  EXPECT_GT(kills_after_a_save, 0) << "no save was ever under way";
}

}  // namespace
}  // namespace convscope
